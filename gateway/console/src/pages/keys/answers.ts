/** What the server tells of keys. Never has a private half in it. */

export interface Assignment {
  kek: string;
  scope: "default" | "group" | "endpoint" | "agent";
  subject: string;
  stream: string;
  break_glass: boolean;
  always: boolean;
  blind_index: boolean;
}

export interface Place {
  node: string;
  public_half: boolean;
  private_half: boolean;
  told_at_ms: number;
  here: boolean;
}

export interface Kek {
  name: string;
  key_id: string;
  algorithm: string;
  purpose: "server" | "end_to_end";
  state: "active" | "opening" | "retired" | "revoked";
  successor: string;
  private_half: "file" | "token" | "none";
  rounds: number | null;
  problem: string;
  registered_at_ms: number;
  changed_at_ms: number;
  assignments: Assignment[];
  places: Place[];
}

export interface KeysAnswer {
  keys: Kek[];
  node: string;
  nodes: string[];
  signers: Record<string, string>;
}

export interface Protected {
  name: string;
  key_id: string;
  epochs: number;
  alone: number;
  envelopes: number;
  bytes: number;
  agents: number;
  persons: number;
  first_day: string;
  last_day: string;
}

export interface ProtectedAnswer {
  counted_at_ms: number | null;
  counting: boolean;
  problem: string;
  keys: Protected[];
}

export interface Finding {
  subject: string;
  says: string;
  problem: boolean;
}

export interface Job {
  id: string;
  subject: string;
  node: string;
  by: string;
  state: "running" | "done" | "failed" | "cancelled" | "interrupted";
  progress: { days?: number; done?: number; rewrapped?: number; failed?: number };
  message: string;
  started_at_ms: number;
  ended_at_ms: number | null;
}

export interface KeySet {
  agents: { id: string; computer: string }[];
  streams: { stream: string; keks: string[]; bound: boolean; blind_index: boolean }[];
  key_ids: Record<string, string>;
  problem: string;
}

export interface SetsAnswer {
  newest: KeySet[];
  versions: { version: number; sets: number; signer: string; made_at_ms: number }[];
  groups: Record<string, string[]>;
  adopted: string;
  sign: string;
}

export interface Done {
  says: string;
  next: string;
}

export const WEAK_ROUNDS = 100_000;

export const PURPOSES = { server: "server", end_to_end: "end to end" } as const;
export const STATES = {
  active: "sealed to",
  opening: "only opens",
  retired: "retired",
  revoked: "revoked",
} as const;
export const TONES = { active: "good", opening: "warn", retired: undefined, revoked: "bad" } as const;

/** What of a KEK needs a person, in words. */
export function warningsOf(kek: Kek): string[] {
  const told: string[] = [];
  if (kek.problem) told.push(kek.problem);
  const opens = kek.state === "active" || kek.state === "opening";
  if (opens && kek.purpose === "server" && kek.private_half === "none") {
    told.push("Its private half is not on this node: miners here cannot open what is sealed to it.");
  }
  if (kek.rounds !== null && kek.rounds < WEAK_ROUNDS) {
    told.push(`Its passphrase is guarded by ${kek.rounds} rounds of PBKDF2; there should be 600,000.`);
  }
  if (kek.algorithm === "RSA-2048") told.push("RSA-2048: enough for the datasheet, short for what is kept beyond 2030.");
  return told;
}

/** Whom an assignment is for, in words. */
export function scopeOf(one: Assignment): string {
  return one.scope === "default" ? "everybody else" : `${one.scope} ${one.subject}`;
}
