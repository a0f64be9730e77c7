/** What the server tells of nodes. */

import type { Gap } from "../../player/answers";

export interface Node {
  id: string;
  node: string;
  role: string;
  state: string;
  since_ms: number;
  address: string;
  version: string;
  load: Record<string, number>;
  told_at_ms: number | null;
  agents: number;
  can_drain: boolean;
  wish: { wanted: "serving" | "drained"; by: string; reason: string; at_ms: number } | null;
}

export interface NodesAnswer {
  nodes: Node[];
  here: string;
}

export interface Fact {
  offset: number;
  time_ms: number;
  subject: string;
  id: string;
  event: string;
  role: string;
  address: string;
  reporter: string;
  detail: Record<string, string>;
}

/** The hole that a fact `gap` tells of; where it does not say when, it is where it was noticed. */
export function gapOf({ detail, time_ms }: Fact): Omit<Gap, "agent_id"> {
  const [from_us, until_us] = [Number(detail.from_us), Number(detail.until_us)];
  const until_ms = until_us ? Math.floor(until_us / 1000) : time_ms;
  const from_ms = Math.min(from_us ? Math.floor(from_us / 1000) : time_ms, until_ms);
  return { stream: detail.stream ?? "", from_ms, until_ms, reason: detail.reason || "unknown", detail: detail.note ?? "" };
}

export interface HistoryAnswer {
  facts: Fact[];
  before: number | null;
  oldest: number;
  connected: boolean;
  age_s: number | null;
}

export interface Approved {
  network: string;
  place: "settings" | "file" | "table";
  note: string;
}

export interface ApprovedAnswer {
  approved: Approved[];
  says: string;
}

export interface NodeStep {
  step: string;
  message: string;
  before: string;
}

export interface UpdateJob {
  id: string;
  by: string;
  node: string;
  state: "running" | "done" | "failed" | "cancelled" | "interrupted";
  progress: { version?: string; state?: string; nodes?: Record<string, NodeStep> };
  message: string;
  started_at_ms: number;
  ended_at_ms: number | null;
}

export interface UpdateAnswer {
  nodes: { name: string; address: string; fingerprint: string }[];
  wheels: { file: string; version: string; sha256: string }[];
  folder: string;
  job: UpdateJob | null;
}

export const STATE_TONES: Record<string, "good" | "warn" | "bad" | undefined> = {
  joined: "warn",
  ready: "good",
  draining: "warn",
  left: undefined,
  lost: "bad",
};

export const EVENT_TONES: Record<string, "good" | "warn" | "bad" | undefined> = {
  ready: "good",
  draining: "warn",
  lost: "bad",
  gap: "bad",
};
