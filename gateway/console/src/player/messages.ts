/**
 * What `GET /recordings/segments` delivers: messages of a head in JSON and a segment, or a sealed envelope.
 * Never takes a stream that was cut for one that ended: the last message says so.
 */

import type { Bytes } from "../unlock/bytes";
import { readEnvelopes } from "../unlock/delivery";
import { MalformedError } from "../unlock/errors";
import type { StreamLabel } from "../unlock/streams";

export interface Head {
  readonly agent: string;
  readonly stream: StreamLabel;
  readonly epoch: string;
  readonly sequence: number;
  readonly capture_ms: number;
  readonly content_type: number;
  readonly end_to_end: boolean;
  readonly sealed: boolean;
  /** Only there to begin from: captured before what was asked for. */
  readonly before: boolean;
  /** Made by the server: what was on the displays at the beginning. */
  readonly composed: boolean;
}

export interface Message {
  readonly head: Head;
  readonly body: Bytes;
}

/** What the last message counts. */
export interface Ending {
  readonly segments: number;
  readonly sealed: number;
  readonly damaged: number;
  readonly other_keks: number;
}

const LENGTH_BYTES = 4;
const text = new TextDecoder("utf-8", { fatal: true });

/** Each message as it comes, and at last the ending; throws `MalformedError`. */
export async function* readMessages(stream: ReadableStream<Uint8Array>): AsyncGenerator<Message, Ending> {
  for await (const content of readEnvelopes(stream)) {
    const { json, body } = parse(content);
    if ((json as { end?: boolean }).end) return json as unknown as Ending;
    yield { head: json as unknown as Head, body };
  }
  throw new MalformedError("the recording broke off: the server or the network stopped", "truncated");
}

function parse(content: Bytes): { json: Record<string, unknown>; body: Bytes } {
  if (content.length < LENGTH_BYTES) throw new MalformedError("a message is cut", "truncated");
  const end = LENGTH_BYTES + new DataView(content.buffer, content.byteOffset).getUint32(0);
  if (end > content.length) throw new MalformedError("the head of a message is cut", "truncated");
  try {
    const json = JSON.parse(text.decode(content.subarray(LENGTH_BYTES, end))) as Record<string, unknown>;
    return { json, body: content.subarray(end) };
  } catch {
    throw new MalformedError("the head of a message is not JSON", "bad_framing");
  }
}
