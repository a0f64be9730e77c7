/**
 * A session of unlocking: the keys that a person opened, and everything that was opened with them.
 * Never outlives `lock()`: keys are dropped, and every buffer that was handed out is overwritten.
 */

import type { AvroRecord } from "./avro";
import { decodeInBrowser } from "./browserImages";
import { toHex, wipe, type Bytes } from "./bytes";
import type { Canvas, ImageDecoder } from "./canvas";
import type { EpochHeader } from "./envelope";
import { LockedError } from "./errors";
import { Holding } from "./holding";
import { Identity } from "./identity";
import { Opener, type Opened, type Unwrapper } from "./opening";
import { decodeEvents, MAX_SEGMENT_BYTES, segmentKind } from "./segments";
import { decompressFrame } from "./zstd";

/** Opens envelopes until it is locked, by a person or by the time that passed since the last use. */
export class UnlockSession {
  #identities: Unwrapper[] = [];
  #opener = new Opener([]);
  #locked = false;
  #opened = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #idleMs: number;
  readonly #holding = new Holding();

  /** `idleMs` without use lock the session; 0 leaves it open. */
  constructor(idleMs = 0) {
    this.#idleMs = idleMs;
    this.#use();
  }

  get locked(): boolean {
    return this.#locked;
  }

  /** How many envelopes it opened. */
  get opened(): number {
    return this.#opened;
  }

  /** Key ids of the KEKs that are open, in hexadecimal. */
  get keyIds(): readonly string[] {
    return this.#identities.map((identity) => toHex(identity.keyId));
  }

  /** Open a KEK; wipes `passphrase`. Throws `KeyFileError` or `LockedError`. */
  async addKey(pem: string, passphrase: Bytes): Promise<Identity> {
    this.#use();
    const identity = await Identity.fromPem(pem, passphrase);
    this.add(identity);
    return identity;
  }

  /** Have a KEK that is open already; one that is here is not taken twice. Throws `LockedError`. */
  add(identity: Unwrapper): void {
    this.#requireOpen();
    if (this.keyIds.includes(toHex(identity.keyId))) return;
    this.#identities = [...this.#identities, identity];
    this.#opener = new Opener(this.#identities);
  }

  /**
   * A session that goes on for this one, with more KEKs; this one is locked, and what it handed out is overwritten.
   * Throws `LockedError`.
   */
  extend(identities: readonly Unwrapper[]): UnlockSession {
    this.#requireOpen();
    const next = new UnlockSession(this.#idleMs);
    for (const identity of [...this.#identities, ...identities]) next.add(identity);
    next.#opened = this.#opened;
    this.lock();
    return next;
  }

  /** Whether one of the open KEKs is a recipient of this epoch. */
  canOpen(epoch: EpochHeader): boolean {
    return this.#opener.canOpen(epoch);
  }

  /** The plaintext of `envelope`, which lasts until the session is locked. Throws as `Opener.open` and `LockedError`. */
  async open(envelope: Bytes): Promise<Opened> {
    this.#use();
    const opened = await this.#opener.open(envelope);
    if (this.#locked) wipe(opened.plaintext);
    this.#requireOpen();
    this.#opened += 1;
    this.track(opened.plaintext);
    return opened;
  }

  /** The events of a whole segment; what they hold as bytes lasts until the session is locked. */
  decode({ record, plaintext }: Opened): AvroRecord[] {
    this.#use();
    const content = this.track(decompressFrame(plaintext, MAX_SEGMENT_BYTES));
    return decodeEvents(segmentKind(record), content);
  }

  /** Have `secret` overwritten too when the session is locked: what was made from a plaintext. */
  track<T extends Bytes>(secret: T): T {
    return this.#holding.track(secret);
  }

  /** A canvas that is emptied when the session is locked. */
  createCanvas(decodeImage: ImageDecoder = decodeInBrowser): Canvas {
    this.#requireOpen();
    return this.#holding.createCanvas(decodeImage);
  }

  /** Drop all keys and overwrite what was opened; nothing opens in this session again. */
  lock(): void {
    this.#locked = true;
    clearTimeout(this.#timer);
    this.#identities = [];
    this.#opener = new Opener([]);
    this.#holding.wipe();
  }

  #use(): void {
    this.#requireOpen();
    clearTimeout(this.#timer);
    if (this.#idleMs) this.#timer = setTimeout(() => this.lock(), this.#idleMs);
  }

  #requireOpen(): void {
    if (this.#locked) throw new LockedError();
  }
}
