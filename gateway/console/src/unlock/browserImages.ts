/**
 * The browser's own decoder of photographs.
 * Never makes a URL of them: what was sealed does not leave this page's memory.
 */

import type { ImageDecoder } from "./canvas";

/** Decodes with `createImageBitmap`; colours are taken as they stand. */
export const decodeInBrowser: ImageDecoder = async (codec, data) => {
  const blob = new Blob([data], { type: `image/${codec}` });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(bitmap, 0, 0);
    return { width, height, data: context.getImageData(0, 0, width, height).data };
  } finally {
    bitmap.close();
  }
};
