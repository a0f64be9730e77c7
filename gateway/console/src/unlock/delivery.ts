/**
 * Envelopes as the server delivers them, each after its length in four bytes (`GET /api/v1/envelopes`).
 * Never asks for them: the page does, and hands the stream of bytes on.
 */

import { concat, type Bytes } from "./bytes";
import { MalformedError } from "./errors";

/** More than any envelope has. */
export const MAX_ENVELOPE_BYTES = 64 * 1024 * 1024;

const LENGTH_BYTES = 4;

/** Each envelope as it comes; throws `MalformedError` for one that is cut or too large. */
export async function* readEnvelopes(stream: ReadableStream<Uint8Array>): AsyncGenerator<Bytes> {
  const chunks = new ChunkReader(stream.getReader());
  try {
    for (;;) {
      const head = await chunks.take(LENGTH_BYTES);
      if (!head) return;
      const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
      if (length > MAX_ENVELOPE_BYTES) throw new MalformedError("an envelope is too large", "too_large");
      const envelope = await chunks.take(length);
      if (!envelope) throw new MalformedError("the last envelope is cut", "truncated");
      yield envelope;
    }
  } finally {
    await chunks.close();
  }
}

/** Takes so many bytes at a time from a stream that has them in other pieces. */
class ChunkReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #pending: Uint8Array[] = [];
  #size = 0;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  /** `size` bytes, or `undefined` at the end; throws `MalformedError` when the end comes between. */
  async take(size: number): Promise<Bytes | undefined> {
    while (this.#size < size) {
      const { value, done } = await this.#reader.read();
      if (done) {
        if (this.#size) throw new MalformedError("the last envelope is cut", "truncated");
        return undefined;
      }
      this.#pending.push(value);
      this.#size += value.length;
    }
    const whole = concat(...this.#pending);
    this.#pending = whole.length > size ? [whole.subarray(size)] : [];
    this.#size = whole.length - size;
    return whole.slice(0, size);
  }

  async close(): Promise<void> {
    await this.#reader.cancel();
    this.#reader.releaseLock();
  }
}
