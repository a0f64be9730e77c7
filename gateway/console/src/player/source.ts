/**
 * What opens sealed segments for the player, whoever holds the keys: this page, or the server for this page.
 * Never outlives its unlock: `lock()` takes everything away that it gave.
 */

import type { AvroRecord } from "../unlock/avro";
import type { Bytes } from "../unlock/bytes";
import type { Canvas } from "../unlock/canvas";
import { PartJoiner } from "../unlock/chain";
import { peek } from "../unlock/envelope";
import { segmentKind, type SegmentKind } from "../unlock/segments";
import type { UnlockSession } from "../unlock/session";

/** The events of a whole segment; what they hold as bytes lasts until the lock. `bytes`: as it was compressed. */
export interface OpenedSegment {
  readonly kind: SegmentKind;
  readonly events: readonly AvroRecord[];
  readonly bytes: number;
}

/** `part`: more of the segment has to come first. `sealed`: it was not opened for this page. */
export type Outcome = OpenedSegment | "part" | "sealed";

/** Reads the envelopes of one answer, in their order. */
export interface OpenedReader {
  /** What this envelope completes. Throws `LockedError`, `MalformedError` or `OpenError`. */
  read(envelope: Bytes): Promise<Outcome>;
}

export interface OpenedSource {
  readonly locked: boolean;
  reader(): OpenedReader;
  /** A canvas that is emptied by the lock. Throws `LockedError`. */
  createCanvas(): Canvas;
  lock(): void;
}

/** Opens with the keys that are open in this page (R6.7). */
export class KeySource implements OpenedSource {
  readonly #session: UnlockSession;

  constructor(session: UnlockSession) {
    this.#session = session;
  }

  get locked(): boolean {
    return this.#session.locked;
  }

  reader(): OpenedReader {
    const session = this.#session;
    const joiner = new PartJoiner();
    return {
      async read(envelope) {
        if (!session.canOpen(peek(envelope).epoch)) return "sealed";
        const whole = joiner.add(await session.open(envelope));
        if (!whole) return "part";
        session.track(whole.plaintext);
        return { kind: segmentKind(whole.record), events: session.decode(whole), bytes: whole.plaintext.length };
      },
    };
  }

  createCanvas(): Canvas {
    return this.#session.createCanvas();
  }

  lock(): void {
    this.#session.lock();
  }
}
