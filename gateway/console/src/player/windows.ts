/**
 * Windows of a recording: which stretches are loaded, being loaded, or dropped again.
 * Never holds more than its bytes, never loads two stretches at once, and aborts what nobody waits for any more.
 */

import type { Stretch } from "./answers";
import { holds } from "./stretches";

export interface Window<T> extends Stretch {
  readonly value: T;
  readonly state: "loading" | "ready" | "failed";
  readonly error: unknown;
}

interface Held<T> {
  from_ms: number;
  until_ms: number;
  value: T;
  state: "loading" | "ready" | "failed";
  error: unknown;
  used: number;
  aborter: AbortController;
}

export interface Source<T> {
  /** Something empty that `load` fills. */
  create: (stretch: Stretch) => T;
  load: (value: T, stretch: Stretch, signal: AbortSignal) => Promise<void>;
  bytes: (value: T) => number;
  /** Called when a window came, grew or failed. */
  changed: () => void;
  /** There is nothing before or after. */
  limits: () => Stretch;
  /** A window that a seek begins starts so much before it. */
  lead_ms: number;
  maxBytes: number;
}

export class Windows<T> {
  #held: Held<T>[] = [];
  #turn = 0;
  readonly #source: Source<T>;

  constructor(source: Source<T>) {
    this.#source = source;
  }

  /** The window that holds the moment, whatever its state. */
  at(at: number): Window<T> | undefined {
    return this.#held.find((one) => holds(one, at));
  }

  get all(): readonly Window<T>[] {
    return this.#held;
  }

  /** See to it that `at` and `ahead_ms` after it are there or come; new windows are `length_ms` long. */
  want(at: number, length_ms: number, ahead_ms: number): void {
    const { from_ms, until_ms } = this.#source.limits();
    if (at < from_ms || at >= until_ms) return;
    const wanted = new Set<Held<T>>();
    const end = Math.min(until_ms, at + ahead_ms);
    for (let next = at; next < end || !wanted.size; ) {
      const one = this.#find(next) ?? this.#start(next, length_ms, wanted.size > 0);
      wanted.add(one);
      one.used = ++this.#turn;
      if (one.state !== "ready") break;
      next = one.until_ms;
    }
    // The window just before is being loaded for a step back.
    const edges = new Set([...wanted].map((one) => one.from_ms));
    for (const one of this.#held) if (one.state === "loading" && !wanted.has(one) && !edges.has(one.until_ms)) this.#drop(one);
    this.#evict(wanted);
  }

  /** Load the window that ends where the one of `at` begins: for a step back over its edge. */
  wantBefore(at: number, length_ms: number): void {
    const edge = this.#find(at)?.from_ms ?? at;
    const { from_ms } = this.#source.limits();
    if (edge > from_ms && !this.#find(edge - 1)) this.#begin(Math.max(from_ms, edge - length_ms), edge);
  }

  /** Forget failures, so that they are tried again. */
  retry(): void {
    this.#held = this.#held.filter((one) => one.state !== "failed");
  }

  clear(): void {
    for (const one of this.#held) one.aborter.abort();
    this.#held = [];
  }

  #find(at: number): Held<T> | undefined {
    return this.#held.find((one) => holds(one, at));
  }

  /** A window from `at` on, or with its lead from a whole second; it ends where the next one begins. */
  #start(at: number, length_ms: number, follows: boolean): Held<T> {
    const limits = this.#source.limits();
    const before = this.#held.reduce((latest, one) => (one.until_ms <= at ? Math.max(latest, one.until_ms) : latest), limits.from_ms);
    const from = follows ? at : Math.max(before, Math.floor((at - this.#source.lead_ms) / 1000) * 1000);
    const after = this.#held.reduce((least, one) => (one.from_ms > at ? Math.min(least, one.from_ms) : least), limits.until_ms);
    return this.#begin(from, Math.min(from + length_ms, after));
  }

  #begin(from_ms: number, until_ms: number): Held<T> {
    const value = this.#source.create({ from_ms, until_ms });
    const held: Held<T> = {
      from_ms, until_ms, value, state: "loading", error: undefined, used: ++this.#turn, aborter: new AbortController(),
    };
    this.#held.push(held);
    const { signal } = held.aborter;
    this.#source.load(value, { from_ms, until_ms }, signal).then(
      () => this.#settle(held, "ready", undefined),
      (error: unknown) => signal.aborted || this.#settle(held, "failed", error),
    );
    return held;
  }

  #settle(held: Held<T>, state: "ready" | "failed", error: unknown): void {
    if (!this.#held.includes(held)) return;
    held.state = state;
    held.error = error;
    this.#source.changed();
  }

  #evict(wanted: ReadonlySet<Held<T>>): void {
    let bytes = this.#held.reduce((sum, one) => sum + this.#source.bytes(one.value), 0);
    for (const one of [...this.#held].sort((a, b) => a.used - b.used)) {
      if (bytes <= this.#source.maxBytes) return;
      if (wanted.has(one) || one.state === "loading") continue;
      bytes -= this.#source.bytes(one.value);
      this.#drop(one);
    }
  }

  #drop(one: Held<T>): void {
    one.aborter.abort();
    this.#held = this.#held.filter((other) => other !== one);
  }
}
