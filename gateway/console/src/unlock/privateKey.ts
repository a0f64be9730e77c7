/**
 * From a PEM file and a passphrase to the PKCS#8 bytes of an RSA key.
 * Never keeps them: the caller imports and wipes what is returned here.
 */

import { fromHex, wipe, type Bytes } from "./bytes";
import { DerReader, encodeRsaPkcs8 } from "./der";
import { readPbkdf2, readScrypt, traditional, type Derivation } from "./derivation";
import { KeyFileError, MalformedError } from "./errors";
import { PKCS8_COMMAND, type PemBlock } from "./pem";

const PBES2 = "2a864886f70d01050d";
const PBKDF2 = "2a864886f70d01050c";
const SCRYPT = "2b06010401da47040b";
const TRIPLE_DES = "2a864886f70d0307";
const PASSWORD_BASED = /^2a864886f70d010[5c]/;
const AES_KEY_BYTES: Record<string, number> = { "608648016503040102": 16, "60864801650304012a": 32 };
const LEGACY_COMMAND = PKCS8_COMMAND.replace("-topk8", "-topk8 -provider default -provider legacy");

/** A private key in PKCS#8, and what a person should know about its file. */
export interface Decrypted {
  readonly pkcs8: Bytes;
  readonly warnings: readonly string[];
}

/** The key in `block`; an empty passphrase is none. Throws `KeyFileError`. */
export async function decryptPrivateKey(block: PemBlock, passphrase: Bytes): Promise<Decrypted> {
  try {
    if (block.label === "ENCRYPTED PRIVATE KEY") return await decryptPbes2(block.body, required(passphrase));
    if (block.headers.has("DEK-Info")) return await decryptTraditional(block, required(passphrase));
  } catch (error) {
    if (error instanceof MalformedError) throw new KeyFileError("this key file is damaged", "not_a_key");
    throw error;
  }
  if (passphrase.length) throw new KeyFileError("this private key is not protected by a passphrase", "not_protected");
  const pkcs8 = block.label === "PRIVATE KEY" ? block.body : encodeRsaPkcs8(block.body);
  return { pkcs8, warnings: ["no passphrase protects this key"] };
}

async function decryptPbes2(der: Bytes, passphrase: Bytes): Promise<Decrypted> {
  const outer = new DerReader(der);
  const info = outer.sequence();
  outer.end();
  const algorithm = info.sequence();
  const sealed = info.octets();
  info.end();
  const scheme = algorithm.objectId();
  if (scheme !== PBES2) {
    const known = PASSWORD_BASED.test(scheme) ? "a PKCS#5 v1.5 or PKCS#12 cipher" : "an unknown cipher";
    throw new KeyFileError(`this key is protected by ${known}`, "unsupported", LEGACY_COMMAND);
  }
  const parameters = algorithm.sequence();
  const derivation = readDerivation(parameters.sequence());
  const [keyBytes, iv] = readCipher(parameters.sequence());
  parameters.end();
  if (derivation.keyLength !== undefined && derivation.keyLength !== keyBytes) {
    throw new MalformedError("the key length does not fit the cipher", "bad_der");
  }
  return decryptCbc(derivation, passphrase, keyBytes, iv, sealed);
}

function readDerivation(algorithm: DerReader): Derivation {
  const name = algorithm.objectId();
  if (name === PBKDF2) return readPbkdf2(algorithm.sequence());
  if (name === SCRYPT) return readScrypt(algorithm.sequence());
  throw new KeyFileError("this key-derivation function is not read here", "unsupported", PKCS8_COMMAND);
}

function readCipher(algorithm: DerReader): [keyBytes: number, iv: Bytes] {
  const name = algorithm.objectId();
  const keyBytes = AES_KEY_BYTES[name];
  if (!keyBytes) throw unreadableCipher(name === TRIPLE_DES ? "3DES" : "a cipher that browsers lack");
  const iv = algorithm.octets();
  if (iv.length !== 16) throw new MalformedError("the IV does not fit the cipher", "bad_der");
  return [keyBytes, iv];
}

async function decryptTraditional(block: PemBlock, passphrase: Bytes): Promise<Decrypted> {
  const [cipher = "", hex = ""] = block.headers.get("DEK-Info")!.split(",");
  const keyBytes = { "AES-128-CBC": 16, "AES-256-CBC": 32 }[cipher];
  if (!keyBytes) throw unreadableCipher(cipher === "DES-EDE3-CBC" ? "3DES" : "a cipher that browsers lack");
  if (!/^[0-9A-Fa-f]{32}$/.test(hex)) throw new MalformedError("the IV does not fit the cipher", "bad_pem");
  const iv = fromHex(hex);
  const { pkcs8: pkcs1, warnings } = await decryptCbc(
    traditional(iv.slice(0, 8)), passphrase, keyBytes, iv, block.body,
  );
  try {
    return { pkcs8: encodeRsaPkcs8(pkcs1), warnings };
  } finally {
    wipe(pkcs1);
  }
}

async function decryptCbc(
  derivation: Derivation, passphrase: Bytes, keyBytes: number, iv: Bytes, sealed: Bytes,
): Promise<Decrypted> {
  const derived = await derivation.derive(passphrase, keyBytes);
  try {
    const key = await crypto.subtle.importKey("raw", derived, "AES-CBC", false, ["decrypt"]);
    const pkcs8 = new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, key, sealed));
    return { pkcs8, warnings: derivation.warning ? [derivation.warning] : [] };
  } catch {
    throw new KeyFileError("the passphrase is wrong", "wrong_passphrase");
  } finally {
    wipe(derived);
  }
}

function required(passphrase: Bytes): Bytes {
  if (!passphrase.length) throw new KeyFileError("this private key needs a passphrase", "passphrase_needed");
  return passphrase;
}

function unreadableCipher(what: string): KeyFileError {
  return new KeyFileError(`this key is protected by ${what}`, "unsupported", PKCS8_COMMAND);
}
