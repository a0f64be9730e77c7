/**
 * The form of an envelope, as `schemas/ENVELOPE.md` says; the reference is `schemas/envelope.py`.
 * Never touches a key: peeking shows what whoever stores envelopes may see.
 */

import { compare, sha256, type Bytes } from "./bytes";
import { MalformedError } from "./errors";
import { isStreamNumber, STREAM_LABELS, type StreamLabel } from "./streams";

export const CORE_BYTES = 96;
export const COMMITMENT_BYTES = 32;
export const SIGNATURE_BYTES = 64;
export const MAC_BYTES = 32;
export const RECORD_HEADER_BYTES = 44;
export const TAG_BYTES = 16;
export const HASH_BYTES = 16;

const MAGIC = 0x5345_414c;
const MAX_RECIPIENTS = 16;
const MAX_WRAPPED_BYTES = 1024;
const END_TO_END = 1;
const SIGNED = 2;
const FINAL = 1;
const MORE_PARTS = 2;
const PADDED = 4;

/** The DEK, wrapped for one recipient. */
export interface WrappedKey {
  readonly keyId: Bytes;
  readonly wrapped: Bytes;
}

/** The clear fields of an epoch header; `bytes` is all of it. */
export interface EpochHeader {
  readonly bytes: Bytes;
  readonly core: Bytes;
  readonly epochId: Bytes;
  readonly agentId: Bytes;
  readonly createdMs: number;
  readonly link: Bytes;
  readonly commitment: Bytes;
  readonly signature: Bytes;
  readonly recipients: readonly WrappedKey[];
  readonly mac: Bytes;
  readonly endToEnd: boolean;
  readonly signed: boolean;
}

/** The clear fields of a record; `length` is that of the ciphertext without its tag. */
export interface RecordHeader {
  readonly bytes: Bytes;
  readonly stream: StreamLabel;
  readonly contentType: number;
  readonly sequence: number;
  readonly captureMs: number;
  readonly previousHash: Bytes;
  readonly length: number;
  readonly final: boolean;
  readonly moreParts: boolean;
  readonly padded: boolean;
}

/** What can be seen of an envelope without a key. */
export interface Peek {
  readonly epoch: EpochHeader;
  readonly record: RecordHeader;
  readonly sealed: Bytes;
  readonly tag: Bytes;
}

/** Header and record header of `envelope`; throws `MalformedError` for whatever the specification refuses. */
export function peek(envelope: Bytes): Peek {
  const epoch = parseEpochHeader(envelope);
  const at = epoch.bytes.length;
  const record = parseRecordHeader(envelope, at);
  const end = at + RECORD_HEADER_BYTES + record.length + TAG_BYTES;
  if (envelope.length !== end) {
    throw new MalformedError("the record's length does not fit the envelope's", "bad_length");
  }
  return { epoch, record, sealed: envelope.subarray(at + RECORD_HEADER_BYTES), tag: envelope.subarray(-TAG_BYTES) };
}

/** The epoch header at the start of `data`; what follows it is not looked at. */
export function parseEpochHeader(data: Bytes): EpochHeader {
  if (data.length < CORE_BYTES + COMMITMENT_BYTES) throw cut("shorter than an epoch header");
  const view = viewOf(data);
  if (view.getUint32(0) !== MAGIC) throw new MalformedError("not an envelope", "bad_magic");
  if (data[4] !== 1 || data[5] !== 1) {
    throw new MalformedError(`version ${data[4]}, suite ${data[5]} is not known here`, "unknown_version");
  }
  const flags = data[6]!;
  if (flags & ~(END_TO_END | SIGNED) || data[7]) {
    throw new MalformedError("unknown flags in the epoch header", "bad_flags");
  }
  const signatureAt = CORE_BYTES + COMMITMENT_BYTES;
  const recipientsAt = signatureAt + (flags & SIGNED ? SIGNATURE_BYTES : 0);
  const [recipients, macAt] = parseRecipients(data, recipientsAt);
  const end = macAt + MAC_BYTES;
  if (data.length < end) throw cut("the epoch header is cut");
  return {
    bytes: data.subarray(0, end),
    core: data.subarray(0, CORE_BYTES),
    epochId: data.subarray(8, 40),
    agentId: data.subarray(40, 56),
    createdMs: Number(view.getBigUint64(56)),
    link: data.subarray(64, 96),
    commitment: data.subarray(CORE_BYTES, signatureAt),
    signature: data.subarray(signatureAt, recipientsAt),
    recipients,
    mac: data.subarray(macAt, end),
    endToEnd: Boolean(flags & END_TO_END),
    signed: Boolean(flags & SIGNED),
  };
}

function parseRecipients(data: Bytes, at: number): [WrappedKey[], number] {
  const count = data[at] ?? 0;
  if (count < 1 || count > MAX_RECIPIENTS) {
    throw new MalformedError(`${count} recipients; there are 1 to ${MAX_RECIPIENTS}`, "bad_recipients");
  }
  const view = viewOf(data);
  const recipients: WrappedKey[] = [];
  at += 1;
  for (let i = 0; i < count; i++) {
    const wrappedAt = at + 34;
    if (data.length < wrappedAt) throw cut("the epoch header is cut");
    const length = view.getUint16(at + 32);
    if (data.length < wrappedAt + length) throw cut("the epoch header is cut");
    if (length < 1 || length > MAX_WRAPPED_BYTES) {
      throw new MalformedError("a wrapped key's length is out of bounds", "bad_recipients");
    }
    const keyId = data.subarray(at, at + 32);
    const before = recipients.at(-1);
    if (before && compare(keyId, before.keyId) <= 0) {
      throw new MalformedError("recipients are not in ascending order, or one stands twice", "bad_recipients");
    }
    at = wrappedAt + length;
    recipients.push({ keyId, wrapped: data.subarray(wrappedAt, at) });
  }
  return [recipients, at];
}

function parseRecordHeader(data: Bytes, at: number): RecordHeader {
  if (data.length < at + RECORD_HEADER_BYTES + TAG_BYTES) throw cut("shorter than a record");
  const bytes = data.subarray(at, at + RECORD_HEADER_BYTES);
  const view = viewOf(bytes);
  const [type, flags, kind, contentType] = bytes as unknown as [number, number, number, number];
  if (type !== 1) throw new MalformedError(`record type ${type} is not known here`, "unknown_version");
  if (flags & ~(FINAL | MORE_PARTS | PADDED)) {
    throw new MalformedError("unknown flags in the record header", "bad_flags");
  }
  if (!isStreamNumber(kind)) throw new MalformedError(`stream kind ${kind} is not known here`, "unknown_kind");
  return {
    bytes,
    stream: STREAM_LABELS[kind],
    contentType,
    sequence: view.getUint8(4) * 2 ** 32 + view.getUint32(5),
    captureMs: Number(view.getBigUint64(16)),
    previousHash: bytes.subarray(24, 40),
    length: view.getUint32(40),
    final: Boolean(flags & FINAL),
    moreParts: Boolean(flags & MORE_PARTS),
    padded: Boolean(flags & PADDED),
  };
}

/** `previous` of an epoch's first record. */
export async function firstHash(core: Uint8Array): Promise<Bytes> {
  return (await sha256(core)).subarray(0, HASH_BYTES);
}

/** `previous` of the record after this one. */
export async function nextHash(previous: Uint8Array, recordHeader: Uint8Array, tag: Uint8Array): Promise<Bytes> {
  return (await sha256(previous, recordHeader, tag)).subarray(0, HASH_BYTES);
}

/** `link` of the epoch after this one; `lastHash` is what `previous` of its next record would have been. */
export async function nextLink(core: Uint8Array, lastHash: Uint8Array): Promise<Bytes> {
  return sha256(core, lastHash);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function cut(message: string): MalformedError {
  return new MalformedError(message, "truncated");
}
