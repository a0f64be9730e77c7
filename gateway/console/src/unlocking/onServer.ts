/**
 * Having the server open end-to-end data (R6.6): the passphrase goes there sealed to the one process that opens, and what
 * it opens comes back sealed to this page. Never sends a key file: the server has one.
 */

import { ApiError, deleteJson, postJson, request } from "../api/client";
import { readTexts, type DatedText } from "../blindsearch/texts";
import { fromBase64, fromHex, wipe, type Bytes } from "../unlock/bytes";
import { UnlockChannel, type Released } from "../unlock/channel";
import { ReleasedSource } from "../player/released";
import { readEnvelopes } from "../unlock/delivery";
import { MalformedError } from "../unlock/errors";
import { decodeSegment } from "../unlock/segments";
import { CONTENT_TYPES, type StreamLabel } from "../unlock/streams";
import { serverTexts } from "./current";
import { begin } from "./locking";

/** More than a person reads: what comes after is not kept. */
export const MOST_TEXTS = 20_000;

export interface ServerWish {
  readonly person: string;
  readonly agents: readonly { readonly agent_id: string; readonly computer: string }[];
  readonly streams: readonly string[];
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly purpose: string;
  readonly minutes: number;
  /** Wiped here. */
  readonly passphrase: Bytes;
}

/** Segments of all streams, and texts that can be searched. */
export interface Opened {
  readonly segments: number;
  readonly texts: number;
}

interface Begun {
  readonly session: string;
  readonly public_key: string;
}

/** What was opened is the page's from now on; how much there is. Throws `ApiError`, `UnlockError`, what `signal` says. */
export async function unlockOnServer(wish: ServerWish, signal: AbortSignal): Promise<Opened> {
  const { agents, streams, sinceMs, untilMs, purpose, minutes, passphrase } = wish;
  const source = new ReleasedSource();
  let session = "";
  try {
    const scope = { agents: agents.map((one) => one.agent_id), streams, since_ms: sinceMs, until_ms: untilMs };
    const begun = await postJson<Begun>("/unlock", { ...scope, reason: purpose }, signal);
    session = begun.session;
    const channel = await UnlockChannel.answer(fromBase64(begun.public_key), fromHex(begun.session));
    const sealed = { public_key: toBase64(channel.publicKey), sealed: toBase64(await channel.seal(passphrase)) };
    const { keys } = await postJson<{ keys: string[] }>(`/unlock/${begun.session}/passphrase`, sealed, signal);
    const texts = await receive(channel, begun.session, wish, source, signal);
    begin({ id: begun.session, purpose, keyIds: keys, endsAtMs: Date.now() + minutes * 60_000, onServer: true }, source);
    serverTexts.value = texts;
    return { segments: source.segments, texts: texts.length };
  } catch (error) {
    source.lock();
    // What the server refused it has ended itself.
    if (session && !(error instanceof ApiError)) void deleteJson(`/unlock/${session}`).catch(() => undefined);
    throw error;
  } finally {
    wipe(passphrase);
  }
}

async function receive(
  channel: UnlockChannel, session: string, wish: ServerWish, source: ReleasedSource, signal: AbortSignal,
): Promise<DatedText[]> {
  const response = await request(`/unlock/${session}/segments`, { signal });
  const texts = new Map<string, DatedText>();
  for await (const message of readEnvelopes(response.body!)) {
    const released = await channel.take(message);
    signal.throwIfAborted();
    if (!released) continue;
    source.add(released);
    for (const text of textsOf(released, wish)) if (texts.size < MOST_TEXTS) texts.set(`${text.agentId} ${text.id}`, text);
  }
  if (!channel.summary) throw new MalformedError("the server's answer is cut: unlock again", "truncated");
  return [...texts.values()];
}

/** The texts of a segment; pictures have none, and one that cannot be read is passed over. */
function textsOf({ about, plaintext }: Released, { person, agents }: ServerWish): DatedText[] {
  const stream = about["stream"] as StreamLabel;
  const contentType = about["content_type"] as number;
  const isText = contentType === CONTENT_TYPES.text;
  if (!isText && stream !== "email") return [];
  const agentId = about["agent"] as string;
  const computer = agents.find((one) => one.agent_id === agentId)?.computer ?? "";
  const place = { epoch: about["epoch"] as string, sequence: about["sequence"] as number, stream, contentType };
  const texts = readTexts(place, decodeSegment(isText ? "text" : stream, plaintext));
  return [...texts].map(([id, text]) => ({ ...text, id, agentId, stream, person, computer }));
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
