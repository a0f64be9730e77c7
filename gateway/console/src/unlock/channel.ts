/**
 * The viewer's end of the sealed channel of an unlock on the server (R6.6), as `schemas/unlock_channel.py` says.
 * Never reuses a nonce: each direction has a key of its own and counts its messages, so none can be lost or swapped.
 */

import { concat, utf8, wipe, type Bytes } from "./bytes";
import { MalformedError, OpenError } from "./errors";

const LABEL = utf8("sealstream unlock v1");
const SESSION_BYTES = 16;
const POINT_BYTES = 65;
const MAX_RELEASED_BYTES = 80 * 1024 * 1024;
const MORE = 0;
const LAST = 1;
const END = 2;
const CURVE = { name: "ECDH", namedCurve: "P-256" };

/** What is known of a segment, as the opener tells it. */
export type About = Record<string, unknown>;

/** A segment as the viewer gets it. */
export interface Released {
  readonly about: About;
  readonly plaintext: Bytes;
}

/** Seals the passphrase to the opener, and opens what it releases; await each call before the next. */
export class UnlockChannel {
  /** The viewer's public key, 65 bytes, for the opener. */
  readonly publicKey: Bytes;
  /** What the opener said at the end; until then the rest is missing. */
  summary: About | undefined;
  readonly #sending: CryptoKey;
  readonly #receiving: CryptoKey;
  #sent = 0;
  #received = 0;
  #held: Bytes[] = [];

  private constructor(publicKey: Bytes, sending: CryptoKey, receiving: CryptoKey) {
    this.publicKey = publicKey;
    this.#sending = sending;
    this.#receiving = receiving;
  }

  /** A channel to the opener that has this public key; throws `MalformedError` when it is none. */
  static async answer(opener: Bytes, session: Bytes, own?: CryptoKeyPair): Promise<UnlockChannel> {
    if (opener.length !== POINT_BYTES || session.length !== SESSION_BYTES) throw badKey();
    const pair = own ?? (await crypto.subtle.generateKey(CURVE, false, ["deriveBits"]));
    const theirs = await crypto.subtle.importKey("raw", opener, CURVE, false, []).catch(() => undefined);
    if (!theirs) throw badKey();
    const viewer = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    const secret = await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, pair.privateKey, 256);
    const input = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
    wipe(secret);
    const derive = (direction: number, usage: KeyUsage) => {
      const info = concat(LABEL, [0, direction], opener, viewer);
      const algorithm = { name: "HKDF", hash: "SHA-256", salt: session, info };
      return crypto.subtle.deriveKey(algorithm, input, { name: "AES-GCM", length: 256 }, false, [usage]);
    };
    return new UnlockChannel(viewer, await derive(1, "encrypt"), await derive(2, "decrypt"));
  }

  /** The next message to the opener; wipes `plaintext`. */
  async seal(plaintext: Bytes): Promise<Bytes> {
    const algorithm = { name: "AES-GCM", iv: nonce(this.#sent++) };
    try {
      return new Uint8Array(await crypto.subtle.encrypt(algorithm, this.#sending, plaintext));
    } finally {
      wipe(plaintext);
    }
  }

  /** The segment that this message completes, if it does; throws `OpenError` or `MalformedError`. */
  async take(sealed: Bytes): Promise<Released | undefined> {
    if (this.summary) throw new MalformedError("a message follows the end", "bad_message");
    const message = await this.#open(sealed);
    this.#held.push(message.subarray(1));
    if (this.#held.reduce((size, piece) => size + piece.length, 0) > MAX_RELEASED_BYTES) {
      throw new MalformedError("a segment is larger than segments may be", "too_large");
    }
    if (message[0] === MORE) return undefined;
    const whole = concat(...this.#held);
    wipe(...this.#held);
    this.#held = [];
    if (message[0] === END) this.summary = parseObject(whole);
    else if (message[0] === LAST) return parseReleased(whole);
    else throw new MalformedError("a message of no known kind", "bad_message");
    return undefined;
  }

  async #open(sealed: Bytes): Promise<Bytes> {
    const algorithm = { name: "AES-GCM", iv: nonce(this.#received) };
    try {
      const message = new Uint8Array(await crypto.subtle.decrypt(algorithm, this.#receiving, sealed));
      this.#received += 1;
      return message;
    } catch {
      throw new OpenError();
    }
  }
}

function parseReleased(whole: Bytes): Released {
  const length = whole.length < 4 ? Infinity : new DataView(whole.buffer, whole.byteOffset).getUint32(0);
  if (length > whole.length - 4) throw new MalformedError("a length does not fit", "bad_message");
  return { about: parseObject(whole.subarray(4, 4 + length)), plaintext: whole.subarray(4 + length) };
}

function parseObject(data: Bytes): About {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MalformedError("not a JSON object", "bad_message");
  }
  return value as About;
}

/** The number of a message, as twelve bytes. */
function nonce(number: number): Bytes {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setBigUint64(4, BigInt(number));
  return bytes;
}

function badKey(): MalformedError {
  return new MalformedError("not a public key of the channel", "bad_key");
}
