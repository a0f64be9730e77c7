/**
 * A display as its frames tell it, ready for a browser's canvas; the reference is `schemas/canvas.py`.
 * Never trusts a frame: sizes are checked before memory is spent on them, and a refused frame changes nothing.
 */

import { wipe, type Bytes } from "./bytes";
import { LockedError, MalformedError } from "./errors";
import { readImageSize } from "./imageSize";
import { Slicer } from "./slices";
import { decompressInSlices } from "./zstd";

const MAX_SIDE = 16_384;
const MAX_PIXELS = 36_000_000;
const MAX_TILES = 20_000;
const MAX_DISPLAY = 63;
const COPY_BYTES = 8;
/** So many pixels are put between two looks at the time. */
const PUT_PIXELS = 64 * 1024;

/** A rectangle of a display, in pixels. */
export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type ImageCodec = "webp" | "jpeg";

export interface Tile extends Area {
  readonly codec: "raw" | "copy" | ImageCodec;
  readonly data: Bytes;
}

/** One look at one display, as a screen segment holds it. */
export interface Frame {
  readonly time_us: number;
  readonly display: number;
  readonly width: number;
  readonly height: number;
  readonly key_frame: boolean;
  readonly tiles: readonly Tile[];
  readonly pixels: Bytes;
  readonly application: string;
  readonly title: string;
}

/** Turns a WebP or JPEG image into RGBA, four bytes a pixel; rejects what it cannot read. */
export type ImageDecoder = (codec: ImageCodec, data: Bytes) => Promise<RgbaImage>;
export interface RgbaImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

/** Pixels of an area, three bytes each, or four. */
interface Drawing {
  readonly area: Area;
  readonly depth: 3 | 4;
  readonly pixels: Uint8Array | Uint8ClampedArray;
}

/** The picture of one display: `rgba` holds four bytes a pixel, row after row, as `ImageData` takes it. */
export class Canvas {
  width = 0;
  height = 0;
  rgba: Uint8ClampedArray<ArrayBuffer> = new Uint8ClampedArray();
  #closed = false;
  readonly #decodeImage: ImageDecoder;

  constructor(decodeImage: ImageDecoder) {
    this.#decodeImage = decodeImage;
  }

  /** Whether the frame can be drawn: it is whole, or changes a picture of the size that is here. */
  takes(frame: Frame): boolean {
    return frame.key_frame || (frame.width === this.width && frame.height === this.height);
  }

  /**
   * Draw the frame and say which parts it touched; await each before the next.
   * Throws `MalformedError` (reason `bad_frame`, or `no_key_frame` when it changes what is not here).
   */
  async draw(frame: Frame): Promise<readonly Area[]> {
    checkFrame(frame);
    if (!this.takes(frame)) {
      throw new MalformedError("the frame changes a picture that is not here", "no_key_frame");
    }
    const slicer = new Slicer();
    const drawings = await this.#decode(frame, slicer);
    try {
      await this.#putAll(frame, drawings, slicer);
    } finally {
      for (const { depth, pixels } of drawings) if (depth === 3) wipe(pixels as Uint8Array);
    }
    return frame.tiles;
  }

  async #putAll(frame: Frame, drawings: readonly Drawing[], slicer: Slicer): Promise<void> {
    if (this.#closed) throw new LockedError();
    if (frame.key_frame && !(frame.width === this.width && frame.height === this.height)) {
      wipe(this.rgba);
      this.rgba = new Uint8ClampedArray(4 * frame.width * frame.height);
      [this.width, this.height] = [frame.width, frame.height];
    }
    for (const drawing of drawings) await this.#put(drawing, slicer);
  }

  /** Forget the picture, its pixels overwritten, and draw nothing again. */
  close(): void {
    this.#closed = true;
    wipe(this.rgba);
    this.rgba = new Uint8ClampedArray();
    [this.width, this.height] = [0, 0];
  }

  async #decode(frame: Frame, slicer: Slicer): Promise<Drawing[]> {
    const drawings = await decodeRaw(frame, slicer);
    for (const tile of frame.tiles) {
      if (tile.codec === "copy") drawings.push({ area: tile, depth: 4, pixels: this.#copied(tile) });
      else if (tile.codec !== "raw") drawings.push(await this.#decodeTile(tile, tile.codec));
    }
    return drawings;
  }

  async #decodeTile(tile: Tile, codec: ImageCodec): Promise<Drawing> {
    const size = readImageSize(codec, tile.data);
    require(size?.width === tile.width && size.height === tile.height, "size of an image tile");
    const image = await this.#decodeImage(codec, tile.data).catch(() => undefined);
    require(image?.width === tile.width && image.height === tile.height, "image tile");
    return { area: tile, depth: 4, pixels: image!.data };
  }

  #copied(tile: Tile): Uint8ClampedArray {
    const [x, y] = copySource(tile);
    const rgba = new Uint8ClampedArray(4 * tile.width * tile.height);
    for (let row = 0; row < tile.height; row++) {
      const from = 4 * ((y + row) * this.width + x);
      rgba.set(this.rgba.subarray(from, from + 4 * tile.width), 4 * row * tile.width);
    }
    return rgba;
  }

  /** The picture is whole again only when all of a frame was put: who shows it waits for `draw`. */
  async #put({ area, depth, pixels }: Drawing, slicer: Slicer): Promise<void> {
    const rows = Math.max(1, Math.floor(PUT_PIXELS / area.width));
    for (let row = 0; row < area.height; row++) {
      if (row % rows === 0) {
        await slicer.pause();
        if (this.#closed) throw new LockedError();
      }
      const from = depth * row * area.width;
      const to = 4 * ((area.y + row) * this.width + area.x);
      const line = pixels.subarray(from, from + depth * area.width);
      if (depth === 4) this.rgba.set(line, to);
      else putRgb(line, this.rgba, to);
    }
  }
}

/** Throws `MalformedError` for sizes, places or codecs that no encoder writes. */
export function checkFrame(frame: Frame): void {
  const { width, height, tiles } = frame;
  const sides = width > 0 && width <= MAX_SIDE && height > 0 && height <= MAX_SIDE;
  require(sides && width * height <= MAX_PIXELS, "size of the display");
  require(frame.display >= 0 && frame.display <= MAX_DISPLAY, "number of the display");
  require(tiles.length <= MAX_TILES, "number of tiles");
  for (const tile of tiles) checkTile(tile, frame);
  const total = tiles.reduce((sum, tile) => sum + tile.width * tile.height, 0);
  require(total <= width * height && !overlap(tiles, width, height), "tiles overlap");
  require(!frame.key_frame || total === width * height, "a key frame that is not whole");
}

function checkTile(tile: Tile, frame: Frame): void {
  require(isWithin(tile, frame), "place of a tile");
  switch (tile.codec) {
    case "copy": {
      require(!frame.key_frame && tile.data.length === COPY_BYTES, "a copy tile");
      const [x, y] = copySource(tile);
      require(isWithin({ x, y, width: tile.width, height: tile.height }, frame), "source of a copy tile");
      break;
    }
    case "raw":
      require(!tile.data.length, "data of a raw tile");
      break;
    case "webp":
    case "jpeg":
      break;
    default:
      require(false, "codec of a tile");
  }
}

function overlap(tiles: readonly Tile[], width: number, height: number): boolean {
  if (tiles.length < 2) return false;
  const seen = new Uint8Array(width * height);
  for (const tile of tiles) {
    for (let row = tile.y; row < tile.y + tile.height; row++) {
      const from = row * width + tile.x;
      // What is set begins or ends at an edge of this row, or covers it: the first 1 tells.
      if (seen.subarray(from, from + tile.width).indexOf(1) >= 0) return true;
      seen.fill(1, from, from + tile.width);
    }
  }
  return false;
}

async function decodeRaw(frame: Frame, slicer: Slicer): Promise<Drawing[]> {
  const areas = frame.tiles.filter((tile) => tile.codec === "raw");
  const size = 3 * areas.reduce((sum, area) => sum + area.width * area.height, 0);
  if (!size) {
    require(!frame.pixels.length, "pixels that no tile shows");
    return [];
  }
  const rgb = await decompressPixels(frame.pixels, size, slicer);
  let at = 0;
  return areas.map((area) => {
    const start = at;
    at += 3 * area.width * area.height;
    return { area, depth: 3, pixels: rgb.subarray(start, at) };
  });
}

async function decompressPixels(compressed: Bytes, size: number, slicer: Slicer): Promise<Bytes> {
  try {
    const rgb = await decompressInSlices(compressed, size, slicer);
    require(rgb.length === size, "length of the pixels");
    return rgb;
  } catch (error) {
    throw new MalformedError(error instanceof MalformedError ? error.message : "bad frame", "bad_frame");
  }
}

function putRgb(rgb: Uint8Array | Uint8ClampedArray, rgba: Uint8ClampedArray, to: number): void {
  for (let from = 0; from < rgb.length; from += 3, to += 4) {
    rgba[to] = rgb[from]!;
    rgba[to + 1] = rgb[from + 1]!;
    rgba[to + 2] = rgb[from + 2]!;
    rgba[to + 3] = 255;
  }
}

function copySource({ data }: Tile): [x: number, y: number] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return [view.getUint32(0), view.getUint32(4)];
}

function isWithin(area: Area, display: { width: number; height: number }): boolean {
  const sides = area.width > 0 && area.height > 0;
  const across = area.x >= 0 && area.x <= display.width - area.width;
  return sides && across && area.y >= 0 && area.y <= display.height - area.height;
}

function require(condition: boolean, what: string): void {
  if (!condition) throw new MalformedError(`bad frame: ${what}`, "bad_frame");
}
