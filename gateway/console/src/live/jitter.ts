/**
 * The order of sound: packets come late, twice, out of order or not at all, and are played one after the other.
 * Never waits longer for a lost packet than it takes to hear that it is missing.
 */

import type { Packet } from "./message";

/** What is to be played next: a packet, so many lost ones, or that it is quiet. */
export type Turn = { kind: "packet"; packet: Packet } | { kind: "lost"; count: number } | { kind: "quiet" };

/** So long is a packet waited for that others have overtaken. */
export const WAIT_MS = 60;
/** More than this missing is a break: nothing is made up for it. */
export const MAX_CONCEALED = 5;

export class JitterBuffer {
  received = 0;
  lost = 0;
  late = 0;
  #waiting = new Map<number, Packet>();
  #next: number | undefined;
  #holeSince: number | undefined;

  /** Take a packet. */
  add(packet: Packet): void {
    this.received += 1;
    this.#next ??= packet.sequence;
    if (packet.sequence < this.#next) this.late += 1;
    else this.#waiting.set(packet.sequence, packet);
  }

  /** What can be played now, in its order. */
  take(nowMs: number): Turn[] {
    const turns: Turn[] = [];
    while (this.#waiting.size) {
      const packet = this.#waiting.get(this.#next!);
      if (packet) {
        this.#waiting.delete(this.#next!);
        this.#next! += 1;
        this.#holeSince = undefined;
        turns.push(packet.data.length ? { kind: "packet", packet } : { kind: "quiet" });
        continue;
      }
      this.#holeSince ??= nowMs;
      if (nowMs - this.#holeSince < WAIT_MS) break;
      const first = Math.min(...this.#waiting.keys());
      const count = first - this.#next!;
      this.lost += count;
      this.#next = first;
      this.#holeSince = undefined;
      turns.push({ kind: "lost", count });
    }
    return turns;
  }
}

/** Samples in the place of a lost packet: the last ones again, softer each time. */
export function conceal(last: Float32Array<ArrayBuffer>, turn: number): Float32Array<ArrayBuffer> {
  const samples = last.slice();
  const from = 0.6 ** turn;
  const until = 0.6 ** (turn + 1);
  for (let at = 0; at < samples.length; at++) samples[at]! *= from + ((until - from) * at) / samples.length;
  return samples;
}

/** Loudness of samples from 0 (-60 dB and below) to 1 (0 dB). */
export function level(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12);
  return Math.min(1, Math.max(0, 1 + db / 60));
}
