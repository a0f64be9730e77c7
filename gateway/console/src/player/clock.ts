/**
 * The clock of a replay: which moment of the recording is shown now.
 * Never reads the time by itself: how milliseconds pass is handed in.
 */

export const RATES = [0.5, 1, 2, 4, 8, 16, 32] as const;
export type Rate = (typeof RATES)[number];

export class Clock {
  #at: number;
  #since: number;
  #rate: Rate = 1;
  #playing = false;
  #held = false;
  readonly #now: () => number;

  /** `now` counts milliseconds as they pass; `at` is the moment that is shown first. */
  constructor(now: () => number, at: number) {
    this.#now = now;
    this.#at = at;
    this.#since = now();
  }

  get playing(): boolean {
    return this.#playing;
  }

  /** Whether it would play, and waits for data. */
  get held(): boolean {
    return this.#held;
  }

  get rate(): Rate {
    return this.#rate;
  }

  /** The moment that is shown. */
  get at(): number {
    return this.#runs ? this.#at + (this.#now() - this.#since) * this.#rate : this.#at;
  }

  play(): void {
    this.#settle();
    this.#playing = true;
  }

  pause(): void {
    this.#settle();
    this.#playing = false;
  }

  /** While held the moment stays, as on a pause, but the person need not ask again. */
  hold(held: boolean): void {
    if (held === this.#held) return;
    this.#settle();
    this.#held = held;
  }

  seek(at: number): void {
    this.#at = at;
    this.#since = this.#now();
  }

  setRate(rate: Rate): void {
    this.#settle();
    this.#rate = rate;
  }

  /** The next faster (or slower) rate; the same at either end. */
  shift(steps: number): Rate {
    const next = RATES.indexOf(this.#rate) + steps;
    this.setRate(RATES[Math.max(0, Math.min(RATES.length - 1, next))]!);
    return this.#rate;
  }

  get #runs(): boolean {
    return this.#playing && !this.#held;
  }

  #settle(): void {
    this.seek(this.at);
  }
}
