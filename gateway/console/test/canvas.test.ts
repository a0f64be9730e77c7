/** Frames: the canvas shows what Python's shows, and refuses what Python's refuses. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { decodeInBrowser } from "../src/unlock/browserImages";
import { compare } from "../src/unlock/bytes";
import { Canvas, type Frame } from "../src/unlock/canvas";
import { LockedError, MalformedError } from "../src/unlock/errors";
import { readImageSize } from "../src/unlock/imageSize";
import { bytesOf, failureOf, withBytes } from "./material";

const inBrowser = typeof createImageBitmap === "function";
const told = material.frames.map(({ frame, rgb, photos }) => ({ frame: withBytes(frame) as Frame, rgb, photos }));

/** The largest difference of any channel between the canvas and Python's pixels. */
function difference(canvas: Canvas, rgb: Uint8Array): number {
  expect(canvas.rgba.length).toBe((rgb.length / 3) * 4);
  let largest = 0;
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    for (let channel = 0; channel < 3; channel++) {
      largest = Math.max(largest, Math.abs(rgb[from + channel]! - canvas.rgba[to + channel]!));
    }
    if (canvas.rgba[to + 3] !== 255) throw new Error("a pixel is not opaque");
  }
  return largest;
}

describe("canvas", () => {
  it("draws text and what was scrolled exactly as Python does", async () => {
    const canvas = new Canvas(() => Promise.reject(new Error("no photographs here")));
    const exact = told.slice(0, told.findIndex((one) => one.photos));
    expect(exact.some(({ frame }) => frame.tiles.some((tile) => tile.codec === "copy"))).toBe(true);
    for (const { frame, rgb } of exact) {
      expect(await canvas.draw(frame)).toHaveLength(frame.tiles.length);
      expect(difference(canvas, bytesOf(rgb))).toBe(0);
    }
  });

  it.skipIf(!inBrowser)("draws photographs as Python does, up to rounding", async () => {
    const canvas = new Canvas(decodeInBrowser);
    for (const { frame, rgb } of told) {
      await canvas.draw(frame);
      expect(difference(canvas, bytesOf(rgb))).toBeLessThanOrEqual(4);
    }
    const last = told.at(-1)!.frame;
    expect([canvas.width, canvas.height]).toEqual([last.width, last.height]);
  });

  it("reads the size of the photographs before they are decoded", () => {
    const photos = told.flatMap(({ frame }) => frame.tiles).filter(({ codec }) => codec === "webp" || codec === "jpeg");
    expect(new Set(photos.map((tile) => tile.codec)).size).toBe(2);
    for (const { codec, data, width, height } of photos) {
      expect(readImageSize(codec as "webp", data)).toEqual({ width, height });
      for (let size = 0; size < 64; size++) readImageSize(codec as "webp", data.subarray(0, size));
    }
  });

  for (const { name, frame, reason } of material.refusedFrames) {
    it(`refuses: ${name}`, async () => {
      const decode = inBrowser ? decodeInBrowser : () => Promise.reject(new Error("no decoder"));
      const error = await failureOf(new Canvas(decode).draw(withBytes(frame) as Frame));
      expect(error).toBeInstanceOf(MalformedError);
      expect((error as MalformedError).reason).toBe(reason);
    });
  }

  it("is left as it was by a frame that is refused", async () => {
    const canvas = new Canvas(decodeInBrowser);
    await canvas.draw(told[0]!.frame);
    const before = canvas.rgba.slice();
    const last = { ...told[0]!.frame, pixels: told[0]!.frame.pixels.slice(0, -1) };
    await failureOf(canvas.draw(last));
    expect(compare(new Uint8Array(canvas.rgba.buffer), new Uint8Array(before.buffer))).toBe(0);
  });

  it("forgets its picture when it is closed, and draws nothing again", async () => {
    const canvas = new Canvas(decodeInBrowser);
    await canvas.draw(told[0]!.frame);
    const held = canvas.rgba;
    expect(held.some((byte) => byte !== 0)).toBe(true);
    canvas.close();
    expect(held.every((byte) => byte === 0)).toBe(true);
    expect(await failureOf(canvas.draw(told[0]!.frame))).toBeInstanceOf(LockedError);
  });

  it("draws a whole 1080p frame within seconds, however busy the machine", async () => {
    const canvas = new Canvas(decodeInBrowser);
    const frame = withBytes(material.largeFrame) as Frame;
    const began = performance.now();
    await canvas.draw(frame);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect([canvas.width, canvas.height]).toEqual([1920, 1080]);
  });
});
