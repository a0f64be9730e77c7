/**
 * What the server opened for this page (R6.6), by where each segment stood in its stream.
 * Never holds more than its bytes, and nothing after the lock.
 */

import { toHex, type Bytes } from "../unlock/bytes";
import type { Canvas } from "../unlock/canvas";
import type { About, Released } from "../unlock/channel";
import { peek, type RecordHeader } from "../unlock/envelope";
import { LockedError, MalformedError } from "../unlock/errors";
import { Holding } from "../unlock/holding";
import { decodeEvents, MAX_SEGMENT_BYTES, segmentKind } from "../unlock/segments";
import type { StreamLabel } from "../unlock/streams";
import { decompressFrame } from "../unlock/zstd";
import type { OpenedReader, OpenedSegment, OpenedSource, Outcome } from "./source";

/** As they come, compressed: some hours of a screen. */
export const MOST_RELEASED_BYTES = 256 * 1024 * 1024;

type Placed = Pick<RecordHeader, "stream" | "contentType">;

interface Segment extends Placed {
  readonly plaintext: Bytes;
}

export class ReleasedSource implements OpenedSource {
  readonly #holding = new Holding();
  readonly #segments = new Map<string, Segment>();
  readonly #mostBytes: number;
  #bytes = 0;
  #locked = false;

  constructor(mostBytes = MOST_RELEASED_BYTES) {
    this.#mostBytes = mostBytes;
  }

  get locked(): boolean {
    return this.#locked;
  }

  get segments(): number {
    return this.#segments.size;
  }

  /** Keep a segment. Throws `MalformedError` for one that says nothing of its place, and when it is too much in all. */
  add({ about, plaintext }: Released): void {
    this.#requireOpen();
    this.#bytes += plaintext.length;
    if (this.#bytes > this.#mostBytes) {
      throw new MalformedError("there is more in this scope than a page can hold: choose less", "too_large");
    }
    const { agent, epoch, sequence, stream, contentType } = placeOf(about);
    this.#segments.set(nameOf(agent, epoch, sequence), { stream, contentType, plaintext: this.#holding.track(plaintext) });
  }

  reader(): OpenedReader {
    /** The part that comes next of a segment that was found whole. */
    let rest: string | undefined;
    return {
      read: async (envelope) => {
        this.#requireOpen();
        const { epoch, record } = peek(envelope);
        const place = (sequence: number) => nameOf(uuidOf(epoch.agentId), toHex(epoch.epochId), sequence);
        const here = place(record.sequence);
        const found = this.#find(here, record);
        const outcome: Outcome = found ?? (here === rest ? "part" : "sealed");
        rest = outcome !== "sealed" && record.moreParts ? place(record.sequence + 1) : undefined;
        return outcome;
      },
    };
  }

  createCanvas(): Canvas {
    this.#requireOpen();
    return this.#holding.createCanvas();
  }

  lock(): void {
    this.#locked = true;
    this.#segments.clear();
    this.#holding.wipe();
  }

  #find(name: string, record: Placed): OpenedSegment | undefined {
    const segment = this.#segments.get(name);
    if (!segment) return undefined;
    if (segment.stream !== record.stream || segment.contentType !== record.contentType) {
      throw new MalformedError("what the server opened is another segment than what is sealed here", "unknown_kind");
    }
    const kind = segmentKind(segment);
    const content = this.#holding.track(decompressFrame(segment.plaintext, MAX_SEGMENT_BYTES));
    return { kind, events: decodeEvents(kind, content), bytes: segment.plaintext.length };
  }

  #requireOpen(): void {
    if (this.#locked) throw new LockedError();
  }
}

const nameOf = (agent: string, epoch: string, sequence: number): string => `${agent} ${epoch} ${sequence}`;

function uuidOf(bytes: Bytes): string {
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function placeOf(about: About): Placed & { agent: string; epoch: string; sequence: number } {
  const { agent, epoch, sequence, stream, content_type: contentType } = about;
  if (typeof agent !== "string" || typeof epoch !== "string" || typeof sequence !== "number" || typeof stream !== "string" || typeof contentType !== "number") {
    throw new MalformedError("a segment that does not say where it stood", "bad_message");
  }
  return { agent, epoch, sequence, stream: stream as StreamLabel, contentType };
}
