/**
 * Having the server open end-to-end data (R6.6): passphrases go there sealed to the one process that opens, and what
 * it opens comes back sealed to this page. Never sends a key file: the server has one.
 */

import { ApiError, postJson, request } from "../api/client";
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
}

/** Segments of all streams, and texts that can be searched. */
export interface Opened {
  readonly segments: number;
  readonly texts: number;
}

interface Begun {
  readonly session: string;
  readonly public_key: string;
  readonly trying: readonly { readonly name: string; readonly key_id: string }[];
}

/**
 * The first step: begin, and open with a first passphrase, which is wiped. Throws `ApiError`, `UnlockError`, what `signal`
 * says: then there is no unlock. One that there is ends with `signal`.
 */
export async function openOnServer(wish: ServerWish, passphrase: Bytes, signal: AbortSignal): Promise<ServerUnlock> {
  const { agents, streams, sinceMs, untilMs, purpose } = wish;
  const scope = { agents: agents.map((one) => one.agent_id), streams, since_ms: sinceMs, until_ms: untilMs };
  try {
    // Not broken off by `signal`: what the page does not hear of, it cannot end.
    const unlock = new ServerUnlock(await postJson<Begun>("/unlock", { ...scope, reason: purpose }), wish, signal);
    await unlock.open(passphrase).catch((error: unknown) => {
      unlock.end();
      throw error;
    });
    return unlock;
  } finally {
    wipe(passphrase);
  }
}

/** An unlock that goes on at the server: `open` more of its keys, then `release`; or `end` it. */
export class ServerUnlock {
  /** Names of the KEKs that are open. */
  opened: readonly string[] = [];
  /** Names of those that another passphrase may open. */
  closed: readonly string[] = [];
  readonly wish: ServerWish;
  readonly #begun: Begun;
  readonly #signal: AbortSignal;
  #channel: UnlockChannel | undefined;
  #over = false;

  constructor(begun: Begun, wish: ServerWish, signal: AbortSignal) {
    this.wish = wish;
    this.#begun = begun;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.end());
  }

  /** Try a passphrase on the keys that are closed; wipes it. Throws as `openOnServer`; see `asksAgain`. */
  async open(passphrase: Bytes): Promise<void> {
    const { session, public_key: opener } = this.#begun;
    try {
      this.#signal.throwIfAborted();
      this.#channel ??= await UnlockChannel.answer(fromBase64(opener), fromHex(session));
      const sealed = { public_key: toBase64(this.#channel.publicKey), sealed: toBase64(await this.#channel.seal(passphrase)) };
      const { keys, closed } = await postJson<{ keys: string[]; closed: string[] }>(`/unlock/${session}/passphrase`, sealed, this.#signal);
      this.opened = [...this.opened, ...keys];
      this.closed = closed;
    } finally {
      wipe(passphrase);
    }
  }

  /** The second step: what is open is the page's from now on; how much there is. Throws as `openOnServer`: then it is over. */
  async release(): Promise<Opened> {
    const source = new ReleasedSource();
    const { purpose, minutes } = this.wish;
    try {
      const texts = await this.#receive(source);
      this.#over = true;
      begin({ id: this.#begun.session, purpose, keyIds: this.#keyIds, endsAtMs: Date.now() + minutes * 60_000, onServer: true }, source);
      serverTexts.value = texts;
      return { segments: source.segments, texts: texts.length };
    } catch (error) {
      source.lock();
      this.end();
      throw error;
    }
  }

  /** Have the server drop keys and process, where it still has them. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    void request(`/unlock/${this.#begun.session}`, { method: "DELETE", keepalive: true }).catch(() => undefined);
  }

  get #keyIds(): string[] {
    return this.#begun.trying.filter(({ name }) => this.opened.includes(name)).map(({ key_id: keyId }) => keyId);
  }

  async #receive(source: ReleasedSource): Promise<DatedText[]> {
    const response = await request(`/unlock/${this.#begun.session}/segments`, { signal: this.#signal });
    const channel = this.#channel!;
    const texts = new Map<string, DatedText>();
    for await (const message of readEnvelopes(response.body!)) {
      const released = await channel.take(message);
      this.#signal.throwIfAborted();
      if (!released) continue;
      source.add(released);
      for (const text of textsOf(released, this.wish)) if (texts.size < MOST_TEXTS) texts.set(`${text.agentId} ${text.id}`, text);
    }
    if (!channel.summary) throw new MalformedError("the server's answer is cut: unlock again", "truncated");
    return [...texts.values()];
  }
}

/** Whether another passphrase may be given after this error: any other leaves no more than to go on with what is open. */
export function asksAgain(error: unknown): boolean {
  return error instanceof ApiError && error.word === "wrong_passphrase";
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
