/**
 * What was opened and must not outlive the unlock: buffers that are overwritten, canvases that are emptied.
 * Never keeps a buffer alive: what nobody holds any more is the browser's to reuse.
 */

import { decodeInBrowser } from "./browserImages";
import { wipe, type Bytes } from "./bytes";
import { Canvas, type ImageDecoder } from "./canvas";

export class Holding {
  #handedOut = new Set<WeakRef<ArrayBuffer>>();
  #canvases: Canvas[] = [];
  readonly #forgotten = new FinalizationRegistry<WeakRef<ArrayBuffer>>((gone) => this.#handedOut.delete(gone));

  /** Have `secret` overwritten by `wipe`. */
  track<T extends Bytes>(secret: T): T {
    const reference = new WeakRef(secret.buffer);
    this.#handedOut.add(reference);
    this.#forgotten.register(secret.buffer, reference);
    return secret;
  }

  /** A canvas that `wipe` empties. */
  createCanvas(decodeImage: ImageDecoder = decodeInBrowser): Canvas {
    const canvas = new Canvas(decodeImage);
    this.#canvases.push(canvas);
    return canvas;
  }

  /** Overwrite and empty all of it. */
  wipe(): void {
    for (const reference of this.#handedOut) {
      const secret = reference.deref();
      if (secret) wipe(secret);
    }
    for (const canvas of this.#canvases) canvas.close();
    this.#handedOut.clear();
    this.#canvases = [];
  }
}
