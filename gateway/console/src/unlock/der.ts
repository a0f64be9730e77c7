/**
 * A reader of DER, as much of it as private-key files need, and the writing of the same.
 * Never guesses: a length that is not minimal, or does not fit, is refused.
 */

import { concat, toHex, type Bytes } from "./bytes";
import { MalformedError } from "./errors";

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT_ID = 0x06;
const SEQUENCE = 0x30;

/** Reads one value after the other. */
export class DerReader {
  readonly #bytes: Bytes;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Whether the next value is an integer, an octet string, … without reading it. */
  nextIs(tag: "integer" | "octets" | "sequence"): boolean {
    return this.#bytes[this.#at] === { integer: INTEGER, octets: OCTET_STRING, sequence: SEQUENCE }[tag];
  }

  sequence(): DerReader {
    return new DerReader(this.#value(SEQUENCE));
  }

  octets(): Bytes {
    return this.#value(OCTET_STRING);
  }

  /** The object identifier's content in hexadecimal. */
  objectId(): string {
    return toHex(this.#value(OBJECT_ID));
  }

  /** The magnitude of a positive integer, big-endian, without leading zeros. */
  magnitude(): Bytes {
    const content = this.#value(INTEGER);
    const [first, second] = content;
    if (first === undefined || first & 0x80 || (first === 0 && second !== undefined && !(second & 0x80))) {
      throw malformed("an integer is negative or not minimal");
    }
    return first === 0 ? content.subarray(1) : content;
  }

  /** A positive integer below 2^48. */
  number(): number {
    const magnitude = this.magnitude();
    if (magnitude.length > 6) throw malformed("an integer is too large");
    return magnitude.reduce((number, byte) => number * 256 + byte, 0);
  }

  /** Throws unless everything was read. */
  end(): void {
    if (!this.atEnd) throw malformed("bytes follow the last value");
  }

  #value(tag: number): Bytes {
    const bytes = this.#bytes;
    const [found, first] = bytes.subarray(this.#at, this.#at + 2);
    if (found !== tag || first === undefined) throw malformed("another value was expected");
    let start = this.#at + 2;
    let length = first;
    if (first >= 0x80) {
      const count = first & 0x7f;
      const digits = bytes.subarray(start, start + count);
      if (count < 1 || count > 3 || digits.length < count) throw malformed("a length is not definite or too large");
      length = digits.reduce((number, byte) => number * 256 + byte, 0);
      if (length < 0x80 || digits[0] === 0) throw malformed("a length is not minimal");
      start += count;
    }
    if (start + length > bytes.length) throw malformed("a value is cut");
    this.#at = start + length;
    return bytes.subarray(start, this.#at);
  }
}

const RSA_ALGORITHM = sequenceOf(encode(OBJECT_ID, Uint8Array.of(42, 134, 72, 134, 247, 13, 1, 1, 1)), encode(NULL));

/** SubjectPublicKeyInfo of an RSA key: what a key id is the hash of. */
export function encodeRsaSpki(modulus: Uint8Array, exponent: Uint8Array): Bytes {
  const key = sequenceOf(encodeInteger(modulus), encodeInteger(exponent));
  return sequenceOf(RSA_ALGORITHM, encode(BIT_STRING, Uint8Array.of(0), key));
}

/** The PKCS#8 form of an RSA key in PKCS#1 form. */
export function encodeRsaPkcs8(pkcs1: Uint8Array): Bytes {
  return sequenceOf(encodeInteger(new Uint8Array()), RSA_ALGORITHM, encode(OCTET_STRING, pkcs1));
}

function sequenceOf(...values: Uint8Array[]): Bytes {
  return encode(SEQUENCE, ...values);
}

function encodeInteger(magnitude: Uint8Array): Bytes {
  const positive = magnitude.length && magnitude[0]! < 0x80;
  return positive ? encode(INTEGER, magnitude) : encode(INTEGER, Uint8Array.of(0), magnitude);
}

function encode(tag: number, ...content: Uint8Array[]): Bytes {
  const length = content.reduce((size, part) => size + part.length, 0);
  const digits: number[] = [];
  for (let rest = length; rest; rest >>>= 8) digits.unshift(rest & 0xff);
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 | digits.length, ...digits];
  return concat(Uint8Array.from(head), ...content);
}

function malformed(message: string): MalformedError {
  return new MalformedError(message, "bad_der");
}
