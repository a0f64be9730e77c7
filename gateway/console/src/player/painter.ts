/**
 * One display at a moment: draws the frames that lead there, forward from where it is or from a key frame.
 * Never shows a picture of two moments as one: who watches is told of each area once the frame is whole.
 */

import { LockedError, UnlockError } from "../unlock/errors";
import type { Area, Canvas } from "../unlock/canvas";
import { Slicer } from "../unlock/slices";
import { lastShot, type Shot } from "./tape";

export interface Target {
  readonly shots: readonly Shot[];
  readonly at: number;
}

export class Painter {
  readonly canvas: Canvas;
  /** The moment of the frame that was drawn last. */
  shownAt: number | undefined;
  /** A frame before could not be drawn, and no key frame came since. */
  damaged = false;
  #shots: readonly Shot[] = [];
  #drawn = -1;
  #busy: Promise<void> | undefined;

  constructor(canvas: Canvas) {
    this.canvas = canvas;
  }

  /**
   * Draw until the target is shown; it is asked again before each frame, so it may move meanwhile. `drawn` is called
   * with what changed. One run at a time: a second call waits for the first and adds nothing.
   */
  async show(target: () => Target | undefined, drawn: (areas: readonly Area[]) => void): Promise<void> {
    this.#busy ??= this.#run(target, drawn).finally(() => (this.#busy = undefined));
    await this.#busy;
  }

  /** Whether something is left to draw for that target. */
  isBehind(target: Target): boolean {
    return this.#next(target) !== undefined;
  }

  async #run(target: () => Target | undefined, drawn: (areas: readonly Area[]) => void): Promise<void> {
    const slicer = new Slicer();
    for (;;) {
      const wanted = target();
      const next = wanted && this.#next(wanted);
      if (!wanted || next === undefined) return;
      try {
        await this.#draw(wanted.shots, next, drawn);
      } catch (error) {
        if (error instanceof LockedError || !(error instanceof UnlockError)) throw error;
        this.damaged = true;
      }
      [this.#shots, this.#drawn] = [wanted.shots, next];
      await slicer.pause();
    }
  }

  async #draw(shots: readonly Shot[], next: number, drawn: (areas: readonly Area[]) => void): Promise<void> {
    const { frame, at } = shots[next]!;
    const areas = await this.canvas.draw(frame);
    if (frame.key_frame) this.damaged = false;
    this.shownAt = at;
    drawn(areas);
  }

  /** Which shot to draw next; `undefined` when the target is shown. */
  #next({ shots, at }: Target): number | undefined {
    const last = lastShot(shots, at);
    if (last < 0) return undefined;
    const here = this.#here(shots);
    if (here === last) return undefined;
    const key = shots.findLastIndex(({ frame }, place) => place <= last && frame.key_frame);
    if (here >= 0 && here < last) return Math.max(here + 1, key);
    return key < 0 ? undefined : key;
  }

  /** Where in these shots the picture stands; -1: not in them. */
  #here(shots: readonly Shot[]): number {
    if (shots === this.#shots) return this.#drawn;
    return shots.findIndex((shot) => shot.at === this.shownAt);
  }
}
