/**
 * The chain of an epoch's records, and the joining of segments that came in parts.
 * Never passes over a hole in silence: what is lost, repeated or forked is an error with that reason.
 */

import { compare, concat, toHex, type Bytes } from "./bytes";
import { firstHash, nextHash, type Peek } from "./envelope";
import { MalformedError } from "./errors";
import type { Opened } from "./opening";

const MAX_JOINED_BYTES = 64 * 1024 * 1024;

/** Checks one epoch's records as they come. */
export class Chain {
  #next = 0;
  #hash: Bytes | undefined;

  /** Take the next envelope of the epoch; throws `MalformedError` (`lost`, `repeated`, `forked`). */
  async check({ epoch, record, tag }: Peek): Promise<void> {
    if (record.sequence < this.#next) {
      throw new MalformedError(`sequence ${record.sequence} comes again`, "repeated");
    }
    const lost = record.sequence - this.#next;
    const expected = this.#hash ?? (await firstHash(epoch.core));
    this.#hash = await nextHash(record.previousHash, record.bytes, tag);
    this.#next = record.sequence + 1;
    if (lost) throw new MalformedError(`${lost} envelopes before sequence ${record.sequence} are missing`, "lost");
    if (compare(record.previousHash, expected) !== 0) {
      throw new MalformedError(`sequence ${record.sequence} does not follow the record before it`, "forked");
    }
  }
}

/** Joins the parts of segments that were larger than an envelope. */
export class PartJoiner {
  readonly #open = new Map<string, Opened[]>();
  readonly #maxBytes: number;

  constructor(maxBytes = MAX_JOINED_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The whole segment, with the headers of its first part, once its last part came; else `undefined`. A part that comes
   * again is ignored. Throws `MalformedError` (`missing_part`, `too_large`); the parts so far are forgotten.
   */
  add(part: Opened): Opened | undefined {
    const epoch = toHex(part.epoch.epochId);
    const held = this.#open.get(epoch) ?? [];
    const last = held.at(-1)?.record.sequence;
    if (last !== undefined && part.record.sequence <= last) return undefined;
    this.#open.delete(epoch);
    if (last !== undefined && part.record.sequence !== last + 1) {
      throw new MalformedError("a part of a segment is missing", "missing_part");
    }
    if (!held.length && !part.record.moreParts) return part;
    const parts = [...held, part];
    if (parts.reduce((size, one) => size + one.plaintext.length, 0) > this.#maxBytes) {
      throw new MalformedError("a segment is larger than segments may be", "too_large");
    }
    if (part.record.moreParts) {
      this.#open.set(epoch, parts);
      return undefined;
    }
    return { ...parts[0]!, plaintext: concat(...parts.map((one) => one.plaintext)) };
  }
}
