/**
 * Opening: identities turn envelopes back into segments; the reference is `schemas/opening.py`.
 * Releases nothing that was not authenticated, and tells nobody why an envelope did not open.
 */

import { concat, equalInConstantTime, sha256, toHex, utf8, wipe, type Bytes } from "./bytes";
import { COMMITMENT_BYTES, MAC_BYTES, peek, type EpochHeader, type Peek, type RecordHeader } from "./envelope";
import { OpenError } from "./errors";

const DEK_BYTES = 32;

/** Whatever can unwrap a DEK: a KEK's private half. */
export interface Unwrapper {
  /** SHA-256 of the KEK's SubjectPublicKeyInfo. */
  readonly keyId: Bytes;
  /** The DEK, in a buffer that the caller wipes; throws `OpenError`. */
  unwrap(wrapped: Bytes): Promise<Bytes>;
}

/** An envelope that opened. `plaintext` is a segment, or a part of one when `record.moreParts`. */
export interface Opened {
  readonly epoch: EpochHeader;
  readonly record: RecordHeader;
  readonly plaintext: Bytes;
}

/** Opens envelopes for the identities it has; keeps the keys of the epochs that it met last. */
export class Opener {
  readonly #identities: Map<string, Unwrapper>;
  readonly #known = new Map<string, Promise<CryptoKey>>();
  readonly #cacheSize: number;

  constructor(identities: readonly Unwrapper[], cacheSize = 1024) {
    this.#identities = new Map(identities.map((identity) => [toHex(identity.keyId), identity]));
    this.#cacheSize = cacheSize;
  }

  /** Whether one of the recipients is an identity of ours; opening may still fail. */
  canOpen(epoch: EpochHeader): boolean {
    return epoch.recipients.some((recipient) => this.#identities.has(toHex(recipient.keyId)));
  }

  /** The plaintext of `envelope`; throws `MalformedError` or `OpenError`. */
  async open(envelope: Bytes): Promise<Opened> {
    const seen = peek(envelope);
    const key = await this.#keyOf(seen.epoch);
    const plaintext = await decrypt(key, seen);
    return { epoch: seen.epoch, record: seen.record, plaintext: seen.record.padded ? unpad(plaintext) : plaintext };
  }

  /** The key of an epoch, found by the exact bytes of its whole header. */
  async #keyOf(epoch: EpochHeader): Promise<CryptoKey> {
    const name = toHex(await sha256(epoch.bytes));
    let key = this.#known.get(name);
    if (!key) {
      key = unwrapEpoch(epoch, this.#identities);
      this.#known.set(name, key);
      key.catch(() => this.#known.delete(name));
      if (this.#known.size > this.#cacheSize) this.#known.delete(this.#known.keys().next().value!);
    }
    return key;
  }
}

async function decrypt(key: CryptoKey, { record, sealed }: Peek): Promise<Bytes> {
  const algorithm = { name: "AES-GCM", iv: record.bytes.subarray(4, 16), additionalData: record.bytes, tagLength: 128 };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, sealed));
  } catch {
    throw new OpenError();
  }
}

/** The record key of an epoch, commitment and MAC verified. */
async function unwrapEpoch(epoch: EpochHeader, identities: Map<string, Unwrapper>): Promise<CryptoKey> {
  for (const { keyId, wrapped } of epoch.recipients) {
    const identity = identities.get(toHex(keyId));
    if (!identity) continue;
    const dek = await identity.unwrap(wrapped);
    try {
      if (dek.length !== DEK_BYTES) throw new OpenError();
      return await deriveVerified(dek, epoch);
    } finally {
      wipe(dek);
    }
  }
  throw new OpenError();
}

async function deriveVerified(dek: Bytes, epoch: EpochHeader): Promise<CryptoKey> {
  const input = await crypto.subtle.importKey("raw", dek, "HKDF", false, ["deriveKey", "deriveBits"]);
  const bound = await sha256(epoch.core);
  const derivation = (label: string): HkdfParams => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: epoch.epochId,
    info: concat(utf8(`sealstream/1 ${label}`), bound),
  });
  const hmac: HmacKeyGenParams = { name: "HMAC", hash: "SHA-256", length: 256 };
  const [key, commitment, macKey] = await Promise.all([
    crypto.subtle.deriveKey(derivation("key"), input, { name: "AES-GCM", length: 256 }, false, ["decrypt"]),
    crypto.subtle.deriveBits(derivation("commitment"), input, 8 * COMMITMENT_BYTES),
    crypto.subtle.deriveKey(derivation("mac"), input, hmac, false, ["verify"]),
  ]);
  const authentic = await crypto.subtle.verify("HMAC", macKey, epoch.mac, epoch.bytes.subarray(0, -MAC_BYTES));
  const commits = equalInConstantTime(new Uint8Array(commitment), epoch.commitment);
  if (!authentic || !commits) throw new OpenError();
  return key;
}

/** The agent's public key by which it signs its epochs: 32 bytes, Ed25519. */
export async function importAgentKey(raw: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
}

/** Throws `OpenError` unless the epoch is signed, by the agent that has `key`. */
export async function verifySignature(epoch: EpochHeader, key: CryptoKey): Promise<void> {
  const told = concat(utf8("sealstream/1 signature"), epoch.core, epoch.commitment);
  const authentic = epoch.signed && (await crypto.subtle.verify("Ed25519", key, epoch.signature, told));
  if (!authentic) throw new OpenError();
}

/** What stands before the padding (ISO/IEC 7816-4); throws `OpenError`. */
export function unpad(padded: Bytes): Bytes {
  let end = padded.length;
  while (end > 0 && padded[end - 1] === 0) end -= 1;
  if (padded[end - 1] !== 0x80) throw new OpenError();
  return padded.subarray(0, end - 1);
}
