/**
 * The size that a WebP or JPEG image claims, read from its head.
 * Never decodes: a small file may claim a huge picture, and this is asked first.
 */

import type { Bytes } from "./bytes";

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

const START_OF_FRAME = new Set([0xc0, 0xc1, 0xc2]);

/** The claimed size, or `undefined` when the head is not one of that codec. */
export function readImageSize(codec: "webp" | "jpeg", data: Bytes): ImageSize | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return codec === "webp" ? readWebp(view) : readJpeg(view);
}

/** RFC 9649: lossy (`VP8 `), lossless (`VP8L`) or extended (`VP8X`). */
function readWebp(view: DataView): ImageSize | undefined {
  if (view.byteLength < 30 || ascii(view, 0) !== "RIFF" || ascii(view, 8) !== "WEBP") return undefined;
  switch (ascii(view, 12)) {
    case "VP8 ":
      return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    case "VP8L": {
      const bits = view.getUint32(21, true);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case "VP8X":
      return { width: uint24(view, 24) + 1, height: uint24(view, 27) + 1 };
    default:
      return undefined;
  }
}

/** ITU-T T.81: the segments up to the frame header. */
function readJpeg(view: DataView): ImageSize | undefined {
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 9 <= view.byteLength; ) {
    if (view.getUint8(at) !== 0xff) return undefined;
    if (START_OF_FRAME.has(view.getUint8(at + 1))) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

function ascii(view: DataView, at: number): string {
  return String.fromCharCode(...Array.from({ length: 4 }, (_, i) => view.getUint8(at + i)));
}

function uint24(view: DataView, at: number): number {
  return view.getUint16(at, true) + view.getUint8(at + 2) * 65_536;
}
