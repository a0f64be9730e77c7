/**
 * Identity: the private half of a KEK, held by the browser where no script can read it out.
 * Never exportable, and never sent anywhere: this library makes no request at all.
 */

import { sha256, wipe, type Bytes } from "./bytes";
import { DerReader, encodeRsaSpki } from "./der";
import { KeyFileError, MalformedError, OpenError } from "./errors";
import type { Unwrapper } from "./opening";
import { findPrivateKey } from "./pem";
import { decryptPrivateKey } from "./privateKey";

const MIN_KEK_BITS = 2048;
const MAX_KEK_BITS = 8192;
const RSA = "2a864886f70d010101";
const OAEP = { name: "RSA-OAEP", hash: "SHA-256" };

/** An unlocked KEK. */
export class Identity implements Unwrapper {
  readonly keyId: Bytes;
  readonly bits: number;
  /** What a person should know about the key's file, as that few rounds protect it. */
  readonly warnings: readonly string[];
  readonly #key: CryptoKey;

  private constructor(key: CryptoKey, keyId: Bytes, bits: number, warnings: readonly string[]) {
    this.#key = key;
    this.keyId = keyId;
    this.bits = bits;
    this.warnings = warnings;
  }

  /** The identity in a PEM private key (R6.7); wipes `passphrase`. Throws `KeyFileError`. */
  static async fromPem(pem: string, passphrase: Bytes): Promise<Identity> {
    try {
      const { pkcs8, warnings } = await decryptPrivateKey(findPrivateKey(pem), passphrase);
      try {
        return await Identity.#import(pkcs8, warnings, passphrase.length > 0);
      } finally {
        wipe(pkcs8);
      }
    } finally {
      wipe(passphrase);
    }
  }

  /**
   * A key of this page alone, for what is sealed to it while it is open; `publicKey` is its SubjectPublicKeyInfo.
   * The private half cannot be read out, not even by this page.
   */
  static async generate(): Promise<{ identity: Identity; publicKey: Bytes }> {
    const algorithm = { ...OAEP, modulusLength: MIN_KEK_BITS, publicExponent: Uint8Array.of(1, 0, 1) };
    const pair = await crypto.subtle.generateKey(algorithm, false, ["encrypt", "decrypt"]);
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
    return { identity: new Identity(pair.privateKey, await sha256(publicKey), MIN_KEK_BITS, []), publicKey };
  }

  static async #import(pkcs8: Bytes, warnings: readonly string[], encrypted: boolean): Promise<Identity> {
    // A wrong passphrase passes the padding once in 256: what does not read as a key is the passphrase's fault.
    const notAKey = encrypted
      ? new KeyFileError("the passphrase is wrong", "wrong_passphrase")
      : new KeyFileError("this key file is damaged", "not_a_key");
    let parts: PublicHalf;
    try {
      parts = readPublicHalf(pkcs8);
    } catch (error) {
      throw error instanceof MalformedError ? notAKey : error;
    }
    const bits = 8 * parts.modulus.length - Math.clz32(parts.modulus[0]!) + 24;
    if (bits < MIN_KEK_BITS || bits > MAX_KEK_BITS) {
      throw new KeyFileError(`a KEK has ${MIN_KEK_BITS} to ${MAX_KEK_BITS} bits, this one has ${bits}`, "key_size");
    }
    const keyId = await sha256(encodeRsaSpki(parts.modulus, parts.exponent));
    try {
      return new Identity(await crypto.subtle.importKey("pkcs8", pkcs8, OAEP, false, ["decrypt"]), keyId, bits, warnings);
    } catch {
      throw notAKey;
    }
  }

  /** The DEK in `wrapped`, for the caller to wipe; throws `OpenError`. */
  async unwrap(wrapped: Bytes): Promise<Bytes> {
    try {
      return new Uint8Array(await crypto.subtle.decrypt(OAEP, this.#key, wrapped));
    } catch {
      throw new OpenError();
    }
  }
}

interface PublicHalf {
  readonly modulus: Bytes;
  readonly exponent: Bytes;
}

function readPublicHalf(pkcs8: Bytes): PublicHalf {
  const outer = new DerReader(pkcs8);
  const info = outer.sequence();
  outer.end();
  info.number();
  const algorithm = info.sequence().objectId();
  const content = info.octets();
  if (algorithm !== RSA) throw new KeyFileError("a KEK must be an RSA key", "not_rsa");
  const key = new DerReader(content).sequence();
  key.number();
  const [modulus, exponent] = [key.magnitude().slice(), key.magnitude().slice()];
  if (!modulus.length || !exponent.length) throw new MalformedError("an RSA key without a modulus", "bad_der");
  return { modulus, exponent };
}
