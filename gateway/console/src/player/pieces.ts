/**
 * Segments of the messages: decoded, or taken from what was opened for this page when they are sealed end to end.
 * Never keeps what was opened: it belongs to the unlock, and is overwritten when that is locked.
 */

import { peek, type Peek } from "../unlock/envelope";
import { LockedError, MalformedError, UnlockError } from "../unlock/errors";
import { decodeSegment, type SegmentKind } from "../unlock/segments";
import type { AvroRecord } from "../unlock/avro";
import { CONTENT_TYPES } from "../unlock/streams";
import type { Head, Message } from "./messages";
import type { OpenedReader, OpenedSource } from "./source";

/** The events of one segment. */
export interface Piece {
  readonly head: Head;
  readonly kind: SegmentKind;
  readonly events: readonly AvroRecord[];
  readonly bytes: number;
}

export class PieceReader {
  /** Envelopes that nobody opened here, by stream. */
  readonly sealed = new Map<string, number>();
  /** When such envelopes of screens were captured, by agent: a picture from before them does not stand after. */
  readonly sealedScreens = new Map<string, number[]>();
  damaged = 0;
  readonly #opened: OpenedReader | undefined;
  readonly #met: (seen: Peek) => void;

  /** `met` is called with the clear fields of every sealed envelope. */
  constructor(source: OpenedSource | undefined, met: (seen: Peek) => void = () => {}) {
    this.#opened = source?.reader();
    this.#met = met;
  }

  /** What the message holds; `undefined` when it cannot be shown, or is not whole yet. Throws `LockedError`. */
  async read(message: Message): Promise<Piece | undefined> {
    const { head, body } = message;
    try {
      if (head.sealed) return await this.#open(message);
      if (head.content_type !== CONTENT_TYPES.segment) return undefined;
      return { head, kind: head.stream, events: decodeSegment(head.stream, body), bytes: body.length };
    } catch (error) {
      if (error instanceof LockedError || !(error instanceof UnlockError)) throw error;
      this.damaged += 1;
      return undefined;
    }
  }

  async #open({ head, body }: Message): Promise<Piece | undefined> {
    if (head.content_type > CONTENT_TYPES.text) return undefined;
    const seen = peek(body);
    this.#met(seen);
    if (seen.record.stream !== head.stream) throw new MalformedError("an envelope of another stream", "unknown_kind");
    const outcome = (await this.#opened?.read(body)) ?? "sealed";
    if (outcome === "sealed") this.#keepSealed(head);
    return typeof outcome === "string" ? undefined : { head, ...outcome };
  }

  #keepSealed({ agent, stream, content_type, capture_ms }: Head): void {
    if (content_type !== CONTENT_TYPES.segment) return;
    this.sealed.set(stream, (this.sealed.get(stream) ?? 0) + 1);
    if (stream !== "screen") return;
    const moments = this.sealedScreens.get(agent) ?? [];
    if (!moments.length) this.sealedScreens.set(agent, moments);
    moments.push(capture_ms);
  }
}
