/**
 * One zstd frame, decompressed within a bound.
 * Never spends more memory than the caller allows: the frame's own claims are read before anything is allocated.
 */

import { Decompress } from "fzstd";
import { concat, type Bytes } from "./bytes";
import { MalformedError } from "./errors";
import type { Slicer } from "./slices";

const MAGIC = 0xfd2f_b528;
const MAX_WINDOW_BYTES = 64 * 1024 * 1024;
/** As much is decompressed between two looks at the time. */
const PIECE_BYTES = 8 * 1024;
const CHECKSUM_BYTES = 4;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

interface FrameHeader {
  readonly bytes: number;
  readonly contentSize: number | undefined;
  readonly windowSize: number;
  readonly checksum: boolean;
}

/** The content of the one frame that `data` is; throws `MalformedError` when it is not, or larger than `maxBytes`. */
export function decompressFrame(data: Bytes, maxBytes: number): Bytes {
  const contentSize = check(data, maxBytes);
  return guarded(() => {
    if (contentSize === undefined) return decompressUnknown(data, maxBytes);
    const content = new Content(contentSize);
    content.push(data, true);
    return content.whole();
  });
}

/** The same in slices, so that a large frame does not hold the page; its content has that very size. */
export async function decompressInSlices(data: Bytes, size: number, slicer: Slicer): Promise<Bytes> {
  if (check(data, size) === undefined) return decompressFrame(data, size);
  const content = new Content(size);
  for (let at = 0; at < data.length; at += PIECE_BYTES) {
    const end = Math.min(data.length, at + PIECE_BYTES);
    guarded(() => content.push(data.subarray(at, end), end === data.length));
    await slicer.pause();
  }
  return guarded(() => content.whole());
}

/** The size that the frame claims, if it does, once everything about it is as it may be. */
function check(data: Bytes, maxBytes: number): number | undefined {
  const header = parseHeader(data);
  if (findEnd(data, header) !== data.length) throw bad("bytes follow the frame, or it is cut");
  const { contentSize, windowSize } = header;
  if ((contentSize ?? 0) > maxBytes) throw bad("the content is larger than it may be");
  if (windowSize > Math.max(MAX_WINDOW_BYTES, maxBytes)) throw bad("the window is larger than it may be");
  return contentSize;
}

function guarded<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof MalformedError ? error : bad("the data is damaged");
  }
}

/** Content of a known size, as its pieces come. */
class Content {
  readonly #bytes: Bytes;
  #at = 0;
  readonly #stream = new Decompress((chunk) => {
    if (this.#at + chunk.length > this.#bytes.length) throw bad("the content is longer than the frame says");
    this.#bytes.set(chunk, this.#at);
    this.#at += chunk.length;
  });

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
  }

  push(piece: Uint8Array, last: boolean): void {
    this.#stream.push(piece, last);
  }

  whole(): Bytes {
    if (this.#at !== this.#bytes.length) throw bad("the content is not as long as the frame says");
    return this.#bytes;
  }
}

function decompressUnknown(data: Bytes, maxBytes: number): Bytes {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const stream = new Decompress((chunk) => {
    size += chunk.length;
    if (size > maxBytes) throw bad("the content is larger than it may be");
    chunks.push(chunk.slice());
  });
  stream.push(data, true);
  return concat(...chunks);
}

/** RFC 8878, 3.1.1.1. */
function parseHeader(data: Bytes): FrameHeader {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 6 || view.getUint32(0, true) !== MAGIC) throw bad("not a zstd frame");
  const descriptor = data[4]!;
  const single = Boolean(descriptor & 0x20);
  if (descriptor & 0x0b) throw bad("the frame wants a dictionary, or uses a reserved bit");
  const windowBytes = single ? 0 : 1;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const sizeAt = 5 + windowBytes;
  if (data.length < sizeAt + sizeBytes) throw bad("the frame's header is cut");
  const contentSize = [
    () => undefined,
    () => view.getUint8(sizeAt),
    () => view.getUint16(sizeAt, true) + 256,
    () => view.getUint32(sizeAt, true),
    () => Number(view.getBigUint64(sizeAt, true)),
  ][[0, 1, 2, 4, 8].indexOf(sizeBytes)]!();
  const exponent = 2 ** (10 + (data[5]! >> 3));
  const windowSize = single ? contentSize! : exponent + (exponent / 8) * (data[5]! & 7);
  return { bytes: sizeAt + sizeBytes, contentSize, windowSize, checksum: Boolean(descriptor & 0x04) };
}

/** Where the frame ends, by the lengths of its blocks. */
function findEnd(data: Bytes, header: FrameHeader): number {
  let at = header.bytes;
  for (let last = false; !last; ) {
    if (at + 3 > data.length) throw bad("a block is cut");
    const block = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16);
    const type = (block >> 1) & 3;
    if (type === RESERVED_BLOCK) throw bad("a block of a reserved type");
    last = Boolean(block & 1);
    at += 3 + (type === RLE_BLOCK ? 1 : block >> 3);
  }
  return at + (header.checksum ? CHECKSUM_BYTES : 0);
}

function bad(message: string): MalformedError {
  return new MalformedError(message, "bad_compression");
}
