/**
 * What comes by the websocket of live viewing, read; the reference is `schemas/live.py`.
 * Never trusts a message: what is not understood is an error, and ends that view alone.
 */

import type { Bytes } from "../unlock/bytes";
import { MalformedError } from "../unlock/errors";

/** The state of a view as the server tells it. */
export interface State {
  kind: "state";
  state: "asked" | "on" | "off" | "refused" | "away";
  reason: string;
  viewers: number;
  /** How much the agent's clock is ahead of the server's. */
  ahead_ms: number;
  server_ms: number;
}

export type Status =
  | State
  | { kind: "pong"; ping: number; server_ms: number }
  | { kind: "behind" }
  | { kind: "refused" | "over"; reason: string };

export type Message =
  | { kind: "status"; status: Status }
  | { kind: "envelope"; envelope: Bytes }
  | { kind: "sound"; packet: Packet };

/** One packet of sound; `data` is empty while it is quiet. */
export interface Packet {
  readonly sequence: number;
  readonly timeMs: number;
  readonly data: Bytes;
}

const SOUND_HEAD_BYTES = 12;

export function readMessage(buffer: ArrayBuffer): Message {
  const bytes = new Uint8Array(buffer);
  const payload = bytes.subarray(1);
  switch (bytes[0]) {
    case 1:
      return { kind: "status", status: readStatus(payload) };
    case 2:
      return { kind: "envelope", envelope: payload };
    case 3: {
      if (payload.length < SOUND_HEAD_BYTES) throw new MalformedError("a packet of sound is cut", "bad_live");
      const view = new DataView(buffer, 1);
      return {
        kind: "sound",
        packet: { sequence: uint48(view, 0), timeMs: uint48(view, 6), data: payload.subarray(SOUND_HEAD_BYTES) },
      };
    }
    default:
      throw new MalformedError("a live message is of no kind known here", "bad_live");
  }
}

function readStatus(payload: Bytes): Status {
  const value: unknown = JSON.parse(new TextDecoder().decode(payload));
  if (typeof value !== "object" || value === null || typeof (value as { kind?: unknown }).kind !== "string") {
    throw new MalformedError("a live status has no kind", "bad_live");
  }
  return value as Status;
}

function uint48(view: DataView, at: number): number {
  return view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
}

/** How far the server's clock is ahead of this one, by the exchange that took the least time of the last few. */
export class Offset {
  #best: { trip: number; offset: number }[] = [];

  /** The answer to a ping: sent and received by this clock, answered by the server's. */
  add(sentMs: number, receivedMs: number, serverMs: number): void {
    const trip = Math.max(0, receivedMs - sentMs);
    this.#best = [...this.#best.slice(-7), { trip, offset: serverMs - (sentMs + receivedMs) / 2 }];
  }

  get ms(): number {
    return this.#best.reduce((best, one) => (one.trip < best.trip ? one : best), { trip: Infinity, offset: 0 }).offset;
  }
}
