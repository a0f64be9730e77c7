/**
 * The blind index: tokens of words under keys that the server does not have (R6.10), as `schemas/BLIND_INDEX.md` says.
 * Never keeps a key that is over: a ratchet that was advanced has no way back to the days before.
 */

import { compare, concat, utf8, wipe, type Bytes } from "./bytes";
import { MalformedError } from "./errors";
import { isStreamNumber, STREAM_LABELS, type StreamLabel } from "./streams";

/** What a word may stand in: body, title or subject, senders and recipients, names of attachments. */
export const FIELDS = ["text", "title", "people", "files"] as const;
export type Field = (typeof FIELDS)[number];

const VARIANTS = 4;
const TOKEN_BYTES = 8;
const BUCKET = 16;
const SECRET_BYTES = 32;
const SHORTEST = 2;
const LONGEST = 64;
const MAX_DAYS = 3660;
const DAY_MS = 86_400_000;
const ROOT_BYTES = 53;
const MAX_MARKS = 128;
const MARK_RUN = new RegExp(`[\\p{M}\\uff9e\\uff9f]{${MAX_MARKS + 1},}`, "gu");
const WORD = /[\p{L}\p{M}\p{Nd}]+/gu;

export const STOP_WORDS: ReadonlySet<string> = new Set(
  (
    "an and are as at be but by for from has have he her his if in into is it its me my no not of on or our she so " +
    "that the their them then there these they this to us was we were what when which who will with you your"
  ).split(" "),
);

/** What opens an agent's index of one stream from `day` on. */
export interface Root {
  readonly stream: StreamLabel;
  readonly rootId: Bytes;
  readonly day: number;
  readonly secret: Bytes;
}

/** The root in the plaintext of a record of that content type; its secret is a copy. Throws `MalformedError`. */
export function parseRoot(data: Bytes): Root {
  const stream = data[0] ?? 0;
  if (data.length !== ROOT_BYTES || !isStreamNumber(stream)) {
    throw new MalformedError("not the root of a blind index", "bad_root");
  }
  const day = new DataView(data.buffer, data.byteOffset).getUint32(17);
  return { stream: STREAM_LABELS[stream], rootId: data.slice(1, 17), day, secret: data.slice(21) };
}

/** The day of a time, counted from 1970-01-01 UTC. */
export function dayOf(timeMs: number): number {
  return Math.floor(timeMs / DAY_MS);
}

/** A root's secret from one day to the next; `erase` it. */
export class Ratchet {
  #day: number;
  readonly #secret: Bytes;

  constructor(secret: Bytes, day: number) {
    if (secret.length !== SECRET_BYTES) throw new RangeError(`a root's secret has ${SECRET_BYTES} bytes`);
    this.#secret = secret.slice();
    this.#day = day;
  }

  get day(): number {
    return this.#day;
  }

  /** A key of the day's tokens that cannot be read out. */
  async key(): Promise<CryptoKey> {
    const key = await expand(this.#secret, "sealstream/1 index key");
    try {
      return await importTokenKey(key);
    } finally {
      wipe(key);
    }
  }

  /** Go on to `day`, and forget those before; whether it is another. An earlier one changes nothing. */
  async advance(day: number): Promise<boolean> {
    if (day <= this.#day) return false;
    for (let step = Math.min(day - this.#day, MAX_DAYS); step > 0; step--) {
      const next = await expand(this.#secret, "sealstream/1 index next");
      this.#secret.set(next);
      wipe(next);
    }
    this.#day = day;
    return true;
  }

  erase(): void {
    wipe(this.#secret);
  }
}

/** Each word of `text` that an index has, as often as it stands there. */
export function wordsOf(text: string): string[] {
  return (normalise(text).match(WORD) ?? []).filter((word) => {
    const length = [...word].length;
    return length >= SHORTEST && length <= LONGEST && !STOP_WORDS.has(word);
  });
}

/** `text` as words are compared: NFKC, lower case, NFKC again, and one sigma. */
export function normalise(text: string): string {
  const bounded = text.replaceAll(MARK_RUN, (run) => [...run].slice(0, MAX_MARKS).join(""));
  return bounded.normalize("NFKC").toLowerCase().normalize("NFKC").replaceAll("\u03c2", "\u03c3");
}

/** Every token that a document of that key's day may have for `word`, as documents carry them. */
export async function queryTokens(key: CryptoKey, word: string, fields: readonly Field[] = FIELDS): Promise<string[]> {
  const variants = Array.from({ length: VARIANTS }, (_, variant) => variant);
  const terms = fields.flatMap((field) => variants.map((variant) => concat(termOf(field, word), [variant])));
  return Promise.all(terms.map(async (term) => tokenText(await hash(key, term))));
}

/** The tokens of a document, ascending, with dummies: what an agent makes under the `salt` of that document. */
export async function documentTokens(
  key: CryptoKey, salt: Bytes, texts: readonly (readonly [Field, string])[],
): Promise<string[]> {
  const salted = await importTokenKey(salt);
  const terms = new Map(
    texts.flatMap(([field, text]) => wordsOf(text).map((word) => [`${field}\0${word}`, termOf(field, word)] as const)),
  );
  const found = new Map<string, Bytes>();
  const add = (token: Bytes) => found.set(tokenText(token), token);
  for (const term of terms.values()) {
    const variant = (await hash(salted, term))[0]! % VARIANTS;
    add(await hash(key, concat(term, [variant])));
  }
  for (let dummy = 0; !found.size || found.size % BUCKET; dummy++) {
    const number = new Uint8Array(4);
    new DataView(number.buffer).setUint32(0, dummy);
    add(await hash(salted, concat(utf8("dummy"), number)));
  }
  return [...found.values()].sort(compare).map(tokenText);
}

/** A key for tokens, of 32 bytes. */
export async function importTokenKey(key: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
}

async function hash(key: CryptoKey, data: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, data)).subarray(0, TOKEN_BYTES);
}

/** One block of HKDF-Expand (RFC 5869, SHA-256), whose PRK is `secret`. */
async function expand(secret: Bytes, label: string): Promise<Bytes> {
  const key = await importTokenKey(secret);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, concat(utf8(label), [1])));
}

function termOf(field: Field, word: string): Bytes {
  return concat(utf8(field), [0], utf8(word));
}

/** A token as documents carry it: base64url without padding. */
function tokenText(token: Bytes): string {
  return btoa(String.fromCharCode(...token)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
