/**
 * PEM armour: finds the private key in a text file.
 * Never decrypts: it tells what kind of key stands there, and refuses what is no key before anything is derived.
 */

import { fromBase64, type Bytes } from "./bytes";
import { KeyFileError } from "./errors";

/** More than any key file with its certificates has. */
export const MAX_PEM_CHARACTERS = 64 * 1024;

/** A block of a PEM file; headers are those of RFC 1421, as `DEK-Info`. */
export interface PemBlock {
  readonly label: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Bytes;
}

export const PKCS8_COMMAND =
  "openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 -in OLD.pem -out NEW.pem";

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([^-]*(?:-(?!----END )[^-]*)*)-----END \1-----/g;
const HEADER = /^([A-Za-z][A-Za-z-]{0,30}): ?([^\r\n]*)\r?\n/;
const READABLE = new Set(["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY"]);

/** The first private key in `text`; throws `KeyFileError`. */
export function findPrivateKey(text: string): PemBlock {
  if (text.length > MAX_PEM_CHARACTERS) {
    throw new KeyFileError("this file is too large for a key file", "not_a_key");
  }
  const labels: string[] = [];
  for (const [, label, content] of text.matchAll(BLOCK)) {
    if (READABLE.has(label!)) return parseBlock(label!, content!);
    labels.push(label!);
  }
  throw refusal(text, labels);
}

function parseBlock(label: string, content: string): PemBlock {
  const headers = new Map<string, string>();
  let rest = content;
  for (let found = HEADER.exec(rest); found; found = HEADER.exec(rest)) {
    headers.set(found[1]!, found[2]!.trim());
    rest = rest.slice(found[0].length);
  }
  try {
    return { label, headers, body: fromBase64(rest) };
  } catch {
    throw new KeyFileError("the text between BEGIN and END is not base64", "not_a_key");
  }
}

function refusal(text: string, labels: string[]): KeyFileError {
  if (labels.includes("OPENSSH PRIVATE KEY")) {
    const command = "ssh-keygen -p -m PKCS8 -f KEY";
    return new KeyFileError("an OpenSSH key is not read here", "unsupported", command);
  }
  if (labels.some((label) => label.endsWith("PRIVATE KEY"))) {
    return new KeyFileError("a KEK must be an RSA key", "not_rsa");
  }
  if (labels.some((label) => label.endsWith("PUBLIC KEY"))) {
    return new KeyFileError("this is the public half of a key; the private half is needed", "not_a_key");
  }
  if (/^0[\x80-\uffff]/.test(text)) {
    const command = "openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -inform DER -in OLD.der -out NEW.pem";
    return new KeyFileError("this key is not in PEM", "unsupported", command);
  }
  return new KeyFileError("there is no private key in PEM in this file", "not_a_key");
}
