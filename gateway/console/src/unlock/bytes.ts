/**
 * Bytes: the few operations on them that the platform lacks.
 * Never compares secrets: what must be compared in constant time goes through `equalInConstantTime` alone.
 */

/** Bytes that no other thread writes: what WebCrypto takes. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

export function concat(...parts: (Uint8Array | readonly number[])[]): Bytes {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(hex: string): Bytes {
  if (hex.length % 2 || !/^[0-9a-fA-F]*$/.test(hex)) throw new RangeError("not hexadecimal");
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

/** The bytes in base64 text, whose white space does not count; throws `RangeError`. */
export function fromBase64(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new RangeError("not base64");
  }
}

/** Order of two byte strings, as `memcmp` gives it. */
export function compare(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let i = 0; i < shared; i++) {
    const difference = one[i]! - other[i]!;
    if (difference) return difference;
  }
  return one.length - other.length;
}

export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && compare(bytes.subarray(0, prefix.length), prefix) === 0;
}

/** Whether two byte strings are equal, in a time that depends on their length alone. */
export function equalInConstantTime(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let i = 0; i < one.length; i++) difference |= one[i]! ^ other[i]!;
  return difference === 0;
}

export async function sha256(...parts: Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}

/** Overwrite with zeros. The memory of an array buffer does not move, so nothing of it stays behind. */
export function wipe(...secrets: (Uint8Array | Uint8ClampedArray | ArrayBuffer)[]): void {
  for (const secret of secrets) {
    const bytes = secret instanceof ArrayBuffer ? new Uint8Array(secret) : secret;
    bytes.fill(0);
  }
}
