/**
 * Segments: what is sealed, as events; the reference is `schemas/records.py`.
 * Never decodes more than a stated number of bytes: what arrives was written by somebody else.
 */

import { decodeAvro, resolve, type AvroRecord } from "./avro";
import type { Bytes } from "./bytes";
import type { RecordHeader } from "./envelope";
import { MalformedError } from "./errors";
import { findSchema } from "./schemas";
import { CONTENT_TYPES, type StreamLabel } from "./streams";
import { decompressFrame } from "./zstd";

/** The most that one segment may hold when it is decompressed. */
export const MAX_SEGMENT_BYTES = 64 * 1024 * 1024;

const FRAMING_BYTES = 5;

/** What names a segment's schema: the stream, or `text` for what was read in an end-to-end stream. */
export type SegmentKind = StreamLabel | "text";

/** The kind of segment that a record holds. Throws `MalformedError` when it holds none. */
export function segmentKind({ stream, contentType }: Pick<RecordHeader, "stream" | "contentType">): SegmentKind {
  if (contentType === CONTENT_TYPES.segment) return stream;
  if (contentType === CONTENT_TYPES.text) return "text";
  throw new MalformedError(`content type ${contentType} is not a segment`, "unknown_content");
}

/** The events of a segment; bytes in them are views of one buffer. Throws `MalformedError`. */
export function decodeSegment(kind: SegmentKind, segment: Bytes): AvroRecord[] {
  return decodeEvents(kind, decompressFrame(segment, MAX_SEGMENT_BYTES));
}

/** The events in the content of a segment, which was decompressed already. */
export function decodeEvents(kind: SegmentKind, content: Bytes): AvroRecord[] {
  return decodeRecord(content, `${kind}_segment`)["events"] as AvroRecord[];
}

/** The record in `data`: a zero byte, the 4-byte schema id, Avro. Throws `MalformedError`. */
export function decodeRecord(data: Bytes, subject: string): AvroRecord {
  if (data.length < FRAMING_BYTES || data[0] !== 0) {
    throw new MalformedError("not an Avro record in Confluent framing", "bad_framing");
  }
  const id = new DataView(data.buffer, data.byteOffset).getUint32(1);
  const { written, newest } = findSchema(id, subject);
  const record = decodeAvro(data.subarray(FRAMING_BYTES), written);
  return (written === newest ? record : resolve(record, newest)) as AvroRecord;
}
