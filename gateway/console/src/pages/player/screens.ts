/**
 * The canvases in the page and their painters: each display is drawn once, wherever it is shown.
 * Never leaves a picture that was drawn in an unlock that is over.
 */

import { decodeInBrowser } from "../../unlock/browserImages";
import { Canvas, type Area } from "../../unlock/canvas";
import { Painter, type Target } from "../../player/painter";
import type { OpenedSource } from "../../player/source";

interface Screen {
  painter: Painter;
  element: HTMLCanvasElement | undefined;
}

export class Screens {
  readonly #screens = new Map<string, Screen>();
  readonly #target: (key: string) => Target | undefined;
  #source: OpenedSource | undefined;

  /** `target` says what a display shows now. */
  constructor(target: (key: string) => Target | undefined) {
    this.#target = target;
  }

  /** Draw that display into the element too, until the returned function is called. */
  attach(key: string, element: HTMLCanvasElement): () => void {
    const screen = this.#screens.get(key) ?? { painter: new Painter(this.createCanvas()), element };
    screen.element = element;
    this.#screens.set(key, screen);
    this.#put(screen, undefined);
    return () => {
      if (screen.element === element) screen.element = undefined;
    };
  }

  /** Whether a display that is looked at is not at its moment yet. */
  get behind(): boolean {
    return [...this.#screens].some(([key, { painter, element }]) => {
      const target = element && this.#target(key);
      return target !== undefined && painter.isBehind(target);
    });
  }

  painter(key: string): Painter | undefined {
    return this.#screens.get(key)?.painter;
  }

  /** See to it that every display that is looked at comes to its moment. */
  show(): void {
    for (const [key, screen] of this.#screens) {
      const target = screen.element && this.#target(key);
      if (!target || !screen.painter.isBehind(target)) continue;
      const { painter } = screen;
      const isCurrent = () => screen.painter === painter && screen.element;
      // A lock ends it; the canvas is empty then.
      painter.show(() => (isCurrent() ? this.#target(key) : undefined), (areas) => this.#put(screen, areas)).catch(() => {});
    }
  }

  renew(source: OpenedSource | undefined): void {
    this.#source = source;
    for (const screen of this.#screens.values()) {
      screen.painter.canvas.close();
      screen.painter = new Painter(this.createCanvas());
      if (screen.element) screen.element.width = screen.element.height = 1;
    }
  }

  clear(): void {
    this.renew(undefined);
    this.#screens.clear();
  }

  createCanvas(): Canvas {
    return this.#source && !this.#source.locked ? this.#source.createCanvas() : new Canvas(decodeInBrowser);
  }

  #put({ painter, element }: Screen, areas: readonly Area[] | undefined): void {
    const { width, height, rgba } = painter.canvas;
    if (!element || !width) return;
    const other = element.width !== width || element.height !== height;
    if (other) [element.width, element.height] = [width, height];
    const context = element.getContext("2d", { alpha: false });
    const image = new ImageData(rgba, width);
    if (other || !areas) context?.putImageData(image, 0, 0);
    else for (const area of areas) context?.putImageData(image, 0, 0, area.x, area.y, area.width, area.height);
  }
}
