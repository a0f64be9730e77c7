/**
 * What Python made for these tests: vectors, key files, envelopes and frames with what must come of them.
 * Never trusted further than its types say: `hex:` strings stand for bytes.
 */

import type { Candidate } from "../src/blindsearch/server";
import { fromHex, toHex, type Bytes } from "../src/unlock/bytes";

export interface EnvelopeVector {
  name: string;
  outcome: "opens" | "malformed" | "does not open";
  envelope: string;
  unwraps: { key_id: string; wrapped: string; dek: string }[];
  reason?: string;
  plaintext?: string;
  stream?: string;
  sequence?: number;
  end_to_end?: boolean;
  final?: boolean;
  more_parts?: boolean;
}

export interface KeyCase {
  name: string;
  pem: string;
  passphrase: string;
  keyId?: string;
  warnings?: string[];
  reason?: string;
  command?: string;
}

export interface Material {
  envelopes: EnvelopeVector[];
  agentKey: string;
  blindIndex: {
    stop_words: string[];
    words: { name: string; text: string; words: string[] }[];
    ratchet: { secret: string; day: number; days: { day: number; secret: string; key: string }[] };
    root: { stream: string; root_id: string; day: number; secret: string; bytes: string };
    queries: { key: string; word: string; field: string; tokens: string[] }[];
    documents: { name: string; key: string; salt: string; texts: [string, string][]; tokens: string[] }[];
  };
  unlockChannel: {
    session: string;
    opener_public: string;
    viewer_public: string;
    viewer_private: string;
    passphrase: string;
    sealed_passphrase: string;
    messages: { plaintext: string; sealed: string }[];
  };
  keys: KeyCase[];
  journey: { envelopes: string[]; segments: unknown[] };
  /** As before the keys were rotated: sealed to another KEK. */
  otherKey: { pem: string; passphrase: string; keyId: string };
  otherJourney: { envelopes: string[]; segments: unknown[] };
  blind: {
    spans: { agent_id: string; stream: string; from_ms: number; until_ms: number }[];
    roots: { agent_id: string; envelopes: string[] }[];
    documents: { candidate: Candidate; tokens: string[] }[];
    segments: { agent_id: string; epoch: string; sequence: number; envelopes: string[] }[];
  };
  segments: { name: string; kind: string; data: string; events?: unknown; reason?: string }[];
  frames: { frame: unknown; rgb: string; photos: boolean }[];
  largeFrame: unknown;
  texts: { text: string; words: string[] }[];
  refusedFrames: { name: string; frame: unknown; reason: string }[];
}

/** `value` with the bytes in it, as Python wrote them. */
export function withBytes(value: unknown): unknown {
  if (typeof value === "string") return value.startsWith("hex:") ? fromHex(value.slice(4)) : value;
  if (Array.isArray(value)) return value.map(withBytes);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withBytes(one)]));
}

/** `value` with its bytes as Python writes them. */
export function withoutBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return `hex:${toHex(value)}`;
  if (Array.isArray(value)) return value.map(withoutBytes);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withoutBytes(one)]));
}

export function bytesOf(value: string): Bytes {
  return fromHex(value.replace("hex:", ""));
}

/** What `promise` is rejected with; fails when it is not. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("was not refused");
}
