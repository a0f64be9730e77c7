/**
 * Long work in slices, so that the page answers keys and draws in between.
 * Never holds the thread for longer than a slice, as long as each step of the work is short.
 */

const SLICE_MS = 8;

interface Scheduler {
  yield?: () => Promise<void>;
}

/** The next turn of the event loop; what the person did comes first. */
export function nextTurn(): Promise<void> {
  const scheduler = (globalThis as { scheduler?: Scheduler }).scheduler;
  if (scheduler?.yield) return scheduler.yield();
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** Counts the time of a piece of work; `pause` gives way once the slice is used up. */
export class Slicer {
  #began = performance.now();
  readonly #sliceMs: number;

  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs;
  }

  async pause(): Promise<void> {
    if (performance.now() - this.#began < this.#sliceMs) return;
    await nextTurn();
    this.#began = performance.now();
  }
}
