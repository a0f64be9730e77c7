/**
 * Segments of the messages: decoded, or opened in this page when they are sealed end to end and somebody unlocked.
 * Never keeps what it opened: it belongs to the session, and is overwritten when that is locked.
 */

import { peek, type Peek } from "../unlock/envelope";
import { LockedError, MalformedError, UnlockError } from "../unlock/errors";
import { decodeSegment, type SegmentKind } from "../unlock/segments";
import type { AvroRecord } from "../unlock/avro";
import { PartJoiner } from "../unlock/chain";
import type { UnlockSession } from "../unlock/session";
import { CONTENT_TYPES } from "../unlock/streams";
import type { Head, Message } from "./messages";

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
  damaged = 0;
  readonly #session: UnlockSession | undefined;
  readonly #met: (seen: Peek) => void;
  readonly #joiner = new PartJoiner();

  /** `met` is called with the clear fields of every sealed envelope. */
  constructor(session: UnlockSession | undefined, met: (seen: Peek) => void = () => {}) {
    this.#session = session;
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
    if (!this.#session?.canOpen(seen.epoch)) {
      if (head.content_type === CONTENT_TYPES.segment) this.sealed.set(head.stream, (this.sealed.get(head.stream) ?? 0) + 1);
      return undefined;
    }
    const whole = this.#joiner.add(await this.#session.open(body));
    if (!whole) return undefined;
    this.#session.track(whole.plaintext);
    if (whole.record.stream !== head.stream) throw new MalformedError("an envelope of another stream", "unknown_kind");
    const kind = head.content_type === CONTENT_TYPES.text ? "text" : head.stream;
    return { head, kind, events: this.#session.decode(whole), bytes: whole.plaintext.length };
  }
}
