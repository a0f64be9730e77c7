/**
 * What a blind search asks of the server: hashes go there, ciphertext comes back.
 * Never sends a word, a key or anything that was opened.
 */

import { getJson, postJson, request, withQuery } from "../api/client";
import { fromBase64, type Bytes } from "../unlock/bytes";
import { readEnvelopes } from "../unlock/delivery";
import type { Peek } from "../unlock/envelope";
import { noteSealed } from "../unlocking/needed";

/** Which end-to-end texts are meant; times are milliseconds, what is empty is everything. */
export interface Scope {
  readonly person: readonly string[];
  readonly team: readonly string[];
  readonly endpoint: readonly string[];
  readonly stream: readonly string[];
  readonly since_ms: number | undefined;
  readonly until_ms: number | undefined;
}

/** When one agent's end-to-end texts of one stream were seen, within the scope. */
export interface Span {
  readonly agent_id: string;
  readonly stream: string;
  readonly from_ms: number;
  readonly until_ms: number;
}

/** A segment as it was sealed, its parts in order. */
export interface Sealed {
  readonly agent_id: string;
  readonly envelopes: readonly string[];
}

export interface Place {
  readonly agent_id: string;
  readonly epoch: string;
  readonly sequence: number;
}

/** A document that has the tokens, and may have the words. */
export interface Candidate extends Place {
  readonly id: string;
  readonly index: string;
  readonly time_ms: number;
  readonly until_ms: number;
  readonly person: string;
  readonly computer: string;
  readonly stream: string;
  readonly kind: string;
}

export interface Tokens {
  readonly tokens: readonly (readonly string[])[];
  readonly order: "newest" | "oldest";
  readonly limit: number;
}

/** The requests of a search. */
export interface Server {
  /** Told of each sealed envelope that comes back, whether it opens or not. */
  readonly met?: (seen: Peek) => void;
  roots(scope: Scope, signal: AbortSignal): Promise<{ spans: Span[]; envelopes: Sealed[]; more: boolean }>;
  candidates(scope: Scope, asked: Tokens, signal: AbortSignal): Promise<{ candidates: Candidate[]; more: boolean }>;
  sealed(places: readonly Place[], signal: AbortSignal): Promise<(Place & Sealed)[]>;
}

/** The console's own server; `purpose` is kept in its audit. */
export function consoleServer(purpose: string): Server {
  return {
    met: ({ epoch, record }) => noteSealed(epoch, record.stream),
    roots: (scope, signal) => getJson("/search/blind/roots", { ...scope, purpose }, signal),
    candidates: (scope, asked, signal) => postJson("/search/blind", { ...scope, ...asked, purpose }, signal),
    async sealed(places, signal) {
      const body = { places, purpose };
      return (await postJson<{ segments: (Place & Sealed)[] }>("/search/blind/envelopes", body, signal)).segments;
    },
  };
}

/** The bytes of a segment's envelopes. */
export function envelopesOf(sealed: Sealed): Bytes[] {
  return sealed.envelopes.map(fromBase64);
}

/** The envelopes that draw an agent's screen at a moment, from a whole picture on. */
export async function* screenEnvelopes(
  agent: string, atMs: number, purpose: string, signal: AbortSignal,
): AsyncGenerator<Bytes> {
  const query = { agent, stream: "screen", since_ms: Math.floor(atMs), until_ms: Math.floor(atMs) + 1, purpose };
  const response = await request(withQuery("/recordings/envelopes", query), { signal });
  if (response.body) yield* readEnvelopes(response.body);
}
