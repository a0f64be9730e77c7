/**
 * A screen as it happens: envelopes are opened one after the other, and drawn onto the canvases of its displays.
 * Never draws a change onto a picture that it does not belong to: after a hole it waits for a whole frame.
 */

import { signal } from "@preact/signals";
import { toHex, type Bytes } from "../unlock/bytes";
import { Canvas, type Area, type Frame } from "../unlock/canvas";
import { PartJoiner } from "../unlock/chain";
import { peek } from "../unlock/envelope";
import { LockedError, OpenError } from "../unlock/errors";
import { Opener, type Opened, type Unwrapper } from "../unlock/opening";
import { decodeSegment } from "../unlock/segments";
import { decodeInBrowser } from "../unlock/browserImages";
import type { UnlockSession } from "../unlock/session";

/** What opens: a key of this page, or the unlock of the person. */
export interface Keys {
  open(envelope: Bytes): Promise<Opened>;
  decode(opened: Opened): Frame[];
  createCanvas(): Canvas;
}

export function keysOfPage(identity: Unwrapper): Keys {
  const opener = new Opener([identity]);
  return {
    open: (envelope) => opener.open(envelope),
    decode: (opened) => decodeSegment("screen", opened.plaintext) as unknown as Frame[],
    createCanvas: () => new Canvas(decodeInBrowser),
  };
}

export function keysOfUnlock(session: UnlockSession): Keys {
  return {
    open: (envelope) => session.open(envelope),
    decode: (opened) => session.decode(opened) as unknown as Frame[],
    createCanvas: () => session.createCanvas(),
  };
}

/** What one display shows; `version` grows with each frame. */
export interface Shown {
  readonly number: number;
  readonly width: number;
  readonly height: number;
  readonly application: string;
  readonly title: string;
}

const MAX_WAITING = 400;

export class LivePicture {
  readonly displays = signal<readonly Shown[]>([]);
  /** Milliseconds from capture to the picture here; `undefined` before the first. */
  readonly latencyMs = signal<number | undefined>(undefined);
  readonly fault = signal<"" | "sealed" | "damaged">("");
  frames = 0;
  readonly #keys: Keys;
  readonly #latency: (captureMs: number) => number;
  readonly #overrun: () => void;
  readonly #canvases = new Map<number, Canvas>();
  readonly #elements = new Map<number, HTMLCanvasElement>();
  readonly #joiner = new PartJoiner();
  #whole = new Set<number>();
  #epoch = "";
  #next = 0;
  #waiting = 0;
  #work: Promise<void> = Promise.resolve();
  #closed = false;
  #resting = false;

  /** `latency` tells how long ago a time was; `overrun` is called when more comes than can be drawn. */
  constructor(keys: Keys, latency: (captureMs: number) => number, overrun: () => void) {
    this.#keys = keys;
    this.#latency = latency;
    this.#overrun = overrun;
  }

  /** Draw an envelope, after those before it. */
  take(envelope: Bytes): void {
    if (this.#waiting >= MAX_WAITING) {
      this.beginAnew();
      this.#overrun();
      return;
    }
    this.#waiting += 1;
    this.#work = this.#work.then(async () => {
      this.#waiting -= 1;
      if (!this.#closed) await this.#draw(envelope).catch((error: unknown) => this.#fail(error));
    });
  }

  /** Something is missing: only whole frames are drawn next. */
  beginAnew(): void {
    this.#whole = new Set();
  }

  /** Whether nobody sees it: then it is not called live, nor afterwards until the next frame. */
  rest(yes: boolean): void {
    this.#resting = yes;
    if (yes) this.latencyMs.value = undefined;
  }

  /** Show a display on this element, from now on; the way back is returned. */
  attach(number: number, element: HTMLCanvasElement): () => void {
    this.#elements.set(number, element);
    const canvas = this.#canvases.get(number);
    if (canvas?.width) this.#paint(number, canvas, [{ x: 0, y: 0, width: canvas.width, height: canvas.height }]);
    return () => this.#elements.delete(number);
  }

  /** Forget everything that was shown. */
  close(): void {
    this.#closed = true;
    for (const canvas of this.#canvases.values()) canvas.close();
    for (const element of this.#elements.values()) element.width = element.height = 0;
    this.#canvases.clear();
    this.displays.value = [];
  }

  async #draw(envelope: Bytes): Promise<void> {
    const { epoch, record } = peek(envelope);
    const name = toHex(epoch.epochId);
    if (name === this.#epoch && record.sequence !== this.#next) this.beginAnew();
    [this.#epoch, this.#next] = [name, record.sequence + 1];
    const whole = this.#joiner.add(await this.#keys.open(envelope));
    if (!whole || whole.record.contentType !== 1) return;
    for (const frame of this.#keys.decode(whole)) await this.#show(frame);
    this.fault.value = "";
  }

  async #show(frame: Frame): Promise<void> {
    if (!frame.key_frame && !this.#whole.has(frame.display)) return;
    let canvas = this.#canvases.get(frame.display);
    if (!canvas) this.#canvases.set(frame.display, (canvas = this.#keys.createCanvas()));
    const areas = await canvas.draw(frame);
    if (this.#closed) return;
    if (frame.key_frame) this.#whole.add(frame.display);
    this.frames += 1;
    this.#tell(frame);
    this.#paint(frame.display, canvas, areas);
    if (!this.#resting) this.latencyMs.value = this.#latency(frame.time_us / 1000);
  }

  #tell({ display, width, height, application, title }: Frame): void {
    const others = this.displays.peek().filter((one) => one.number !== display);
    const shown = [...others, { number: display, width, height, application, title }];
    this.displays.value = shown.sort((a, b) => a.number - b.number);
  }

  #paint(number: number, canvas: Canvas, areas: readonly Area[]): void {
    const element = this.#elements.get(number);
    if (!element) return;
    if (element.width !== canvas.width || element.height !== canvas.height) {
      [element.width, element.height] = [canvas.width, canvas.height];
      areas = [{ x: 0, y: 0, width: canvas.width, height: canvas.height }];
    }
    const image = new ImageData(canvas.rgba, canvas.width, canvas.height);
    const context = element.getContext("2d", { alpha: false })!;
    for (const { x, y, width, height } of areas) context.putImageData(image, 0, 0, x, y, width, height);
  }

  #fail(error: unknown): void {
    this.beginAnew();
    if (error instanceof LockedError) this.close();
    else this.fault.value = error instanceof OpenError ? "sealed" : "damaged";
  }
}
