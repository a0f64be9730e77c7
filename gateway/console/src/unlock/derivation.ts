/**
 * From a passphrase to an AES key, in the ways that key files name.
 * Never begins to derive before the work factor was found to be within bounds.
 */

import { md5 } from "@noble/hashes/legacy.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { concat, wipe, type Bytes } from "./bytes";
import type { DerReader } from "./der";
import { KeyFileError } from "./errors";
import { PKCS8_COMMAND } from "./pem";

export const MAX_PBKDF2_ROUNDS = 5_000_000;
export const FEW_PBKDF2_ROUNDS = 100_000;
export const MAX_SCRYPT_BYTES = 128 * 1024 * 1024;
export const MAX_SCRYPT_WORK = 1 << 22;
const MAX_SALT_BYTES = 1024;

/** The key-derivation function that a file names, checked; `derive` gives `size` bytes. */
export interface Derivation {
  readonly keyLength: number | undefined;
  readonly warning: string;
  derive(passphrase: Bytes, size: number): Promise<Bytes>;
}

const HASHES: Record<string, string> = {
  "2a864886f70d0207": "SHA-1",
  "2a864886f70d0209": "SHA-256",
  "2a864886f70d020a": "SHA-384",
  "2a864886f70d020b": "SHA-512",
};

/** PBKDF2 with the parameters of RFC 8018, A.2. */
export function readPbkdf2(parameters: DerReader): Derivation {
  const salt = readSalt(parameters);
  const rounds = parameters.number();
  if (rounds < 1 || rounds > MAX_PBKDF2_ROUNDS) throw tooMuchWork(`${rounds} rounds of PBKDF2`);
  const keyLength = parameters.nextIs("integer") ? parameters.number() : undefined;
  const hash = parameters.atEnd ? "SHA-1" : HASHES[parameters.sequence().objectId()];
  parameters.end();
  if (!hash) throw new KeyFileError("this PBKDF2 hash is not read here", "unsupported", PKCS8_COMMAND);
  return {
    keyLength,
    warning: rounds < FEW_PBKDF2_ROUNDS ? `only ${rounds} rounds of PBKDF2 protect this key` : "",
    async derive(passphrase, size) {
      const input = await crypto.subtle.importKey("raw", passphrase, "PBKDF2", false, ["deriveBits"]);
      const algorithm = { name: "PBKDF2", hash, salt, iterations: rounds };
      return new Uint8Array(await crypto.subtle.deriveBits(algorithm, input, 8 * size));
    },
  };
}

/** scrypt with the parameters of RFC 7914, 7. */
export function readScrypt(parameters: DerReader): Derivation {
  const salt = readSalt(parameters);
  const [cost, blockSize, parallelization] = [parameters.number(), parameters.number(), parameters.number()];
  const keyLength = parameters.atEnd ? undefined : parameters.number();
  parameters.end();
  const blocks = cost * blockSize;
  const withinBounds =
    Number.isInteger(Math.log2(cost)) &&
    cost > 1 &&
    blockSize > 0 &&
    parallelization > 0 &&
    128 * blocks <= MAX_SCRYPT_BYTES &&
    blocks * parallelization <= MAX_SCRYPT_WORK;
  if (!withinBounds) throw tooMuchWork(`scrypt with N=${cost}, r=${blockSize}, p=${parallelization}`);
  return {
    keyLength,
    warning: "",
    async derive(passphrase, size) {
      const options = { N: cost, r: blockSize, p: parallelization, dkLen: size, maxmem: 2 * MAX_SCRYPT_BYTES };
      return Uint8Array.from(await scryptAsync(passphrase, salt, options));
    },
  };
}

/** OpenSSL's traditional derivation: MD5, one round. */
export function traditional(salt: Bytes): Derivation {
  return {
    keyLength: undefined,
    warning: "the traditional PEM format protects a key with one round of MD5 only",
    async derive(passphrase, size) {
      const key = new Uint8Array(size);
      let digest: Uint8Array = new Uint8Array();
      for (let at = 0; at < size; at += digest.length) {
        const input = concat(digest, passphrase, salt);
        digest = md5(input);
        key.set(digest.subarray(0, size - at), at);
        wipe(input);
      }
      wipe(digest);
      return key;
    },
  };
}

function readSalt(parameters: DerReader): Bytes {
  const salt = parameters.octets();
  if (salt.length > MAX_SALT_BYTES) throw tooMuchWork("the salt");
  return salt;
}

function tooMuchWork(what: string): KeyFileError {
  return new KeyFileError(`${what} is outside the bounds of this page`, "work_factor", PKCS8_COMMAND);
}
