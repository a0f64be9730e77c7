/**
 * A search of what is sealed end to end, in the page: roots, tokens, candidates, and comparing what was opened (R6.10).
 * Never lets the server see a word or an opened text.
 */

import { FIELDS, parseRoot, queryTokens } from "../unlock/blindIndex";
import { PartJoiner } from "../unlock/chain";
import { peek } from "../unlock/envelope";
import { LockedError, UnlockError } from "../unlock/errors";
import type { Opened } from "../unlock/opening";
import type { UnlockSession } from "../unlock/session";
import { CONTENT_TYPES } from "../unlock/streams";
import { makeDayKeys, type AgentRoot, type DayKey } from "./dayKeys";
import { envelopesOf, type Candidate, type Scope, type Sealed, type Server } from "./server";
import { isNamed } from "./names";
import { originOf, placeOfOpened, readTexts, type Origin, type Text } from "./texts";
import { Wanted } from "./wanted";

/** Tokens of one request. */
export const MOST_TOKENS = 60_000;
/** Opened and compared for one search. */
export const MOST_CANDIDATES = 2000;
const MOST_REQUESTS = 50;
const CANDIDATES_AT_ONCE = MOST_CANDIDATES;
const OPENED_AT_ONCE = 50;

/** What a search took, and what it could not do; a person is told. */
export interface Effort {
  /** Streams of agents with sealed texts in scope. */
  spans: number;
  /** Days of streams of agents whose tokens were asked for. */
  days: number;
  /** Roots that these keys do not open. */
  shutRoots: number;
  tokens: number;
  candidates: number;
  compared: number;
  opened: number;
  notOpened: number;
  /** Candidates whose envelope is not in the archive (yet, or any more). */
  missing: number;
  /** Candidates that had the tokens, and not what was asked for. */
  falseHits: number;
  /** There was more than one search compares. */
  cut: boolean;
}

/** What was found: the document and what was opened of it. */
export interface SealedHit {
  readonly candidate: Candidate;
  readonly text: Text;
}

export interface Question {
  readonly text: string;
  readonly scope: Scope;
  readonly order: "newest" | "oldest";
  readonly limit: number;
}

/** Told after every step: what was found so far. */
export type Progress = (effort: Readonly<Effort>, hits: readonly SealedHit[]) => void;

/** The keys of a scope, kept while the unlock lasts and the scope stays. */
interface ScopeKeys {
  readonly keys: readonly DayKey[];
  readonly shutRoots: number;
  readonly spans: number;
  readonly cut: boolean;
}

/** Searches with one unlock. */
export class BlindSearch {
  readonly #session: UnlockSession;
  readonly #server: Server;
  #kept: { name: string; atMs: number; keys: ScopeKeys } | undefined;

  constructor(session: UnlockSession, server: Server) {
    this.#session = session;
    this.#server = server;
  }

  /**
   * What was found, the wanted order kept. Throws `QuestionError` for a question that hashes cannot answer, `ApiError`,
   * `LockedError`, and what `signal` aborts with.
   */
  async search(question: Question, signal: AbortSignal, progress: Progress): Promise<SealedHit[]> {
    const wanted = new Wanted(question.text);
    const effort = newEffort();
    const { keys, shutRoots, spans, cut } = await this.#keysOf(question.scope, signal);
    Object.assign(effort, { days: keys.length, shutRoots, spans, cut });
    progress({ ...effort }, []);
    const candidates = await this.#findCandidates(question, wanted.words, keys, effort, signal);
    const hits: SealedHit[] = [];
    for (let at = 0; at < candidates.length && hits.length < question.limit; at += OPENED_AT_ONCE) {
      signal.throwIfAborted();
      const some = candidates.slice(at, at + OPENED_AT_ONCE);
      hits.push(...(await this.#compare(wanted, some, effort, signal)));
      effort.compared += some.length;
      progress({ ...effort }, [...hits]);
    }
    effort.cut ||= effort.compared < candidates.length;
    progress({ ...effort }, [...hits]);
    return hits;
  }

  async #keysOf(scope: Scope, signal: AbortSignal): Promise<ScopeKeys> {
    const name = JSON.stringify(scope);
    if (this.#kept?.name === name && Date.now() - this.#kept.atMs < 60_000) return this.#kept.keys;
    const { spans, envelopes, more } = await this.#server.roots(scope, signal);
    let shutRoots = 0;
    const roots: AgentRoot[] = [];
    for (const sealed of envelopes) {
      const opened = await this.#open(sealed);
      if (opened?.record.contentType === CONTENT_TYPES.indexRoot) {
        roots.push({ ...parseRoot(opened.plaintext), agentId: sealed.agent_id });
      } else {
        shutRoots += 1;
      }
    }
    const keys = { keys: await makeDayKeys(spans, roots), shutRoots, spans: spans.length, cut: more };
    this.#kept = { name, atMs: Date.now(), keys };
    return keys;
  }

  async #findCandidates(
    question: Question, words: readonly string[], keys: readonly DayKey[], effort: Effort, signal: AbortSignal,
  ): Promise<Candidate[]> {
    const found = new Map<string, Candidate>();
    const portions = [...portionsOf(keys, words.length)];
    effort.cut ||= portions.length > MOST_REQUESTS;
    for (const some of portions.slice(0, MOST_REQUESTS)) {
      const tokens = await Promise.all(words.map((word) => tokensOf(some, word)));
      effort.tokens += tokens.reduce((sum, ofWord) => sum + ofWord.length, 0);
      const asked = { tokens, order: question.order, limit: CANDIDATES_AT_ONCE };
      const answer = await this.#server.candidates(question.scope, asked, signal);
      effort.cut ||= answer.more;
      const among = answer.candidates.filter((one) => isNamed(one.computer, question.scope.endpoint));
      for (const one of among) found.set(one.id, one);
    }
    const sign = question.order === "oldest" ? 1 : -1;
    const ordered = [...found.values()].sort((one, other) => sign * (one.time_ms - other.time_ms));
    effort.cut ||= ordered.length > MOST_CANDIDATES;
    effort.candidates = Math.min(ordered.length, MOST_CANDIDATES);
    return ordered.slice(0, MOST_CANDIDATES);
  }

  /** Those of the candidates that say what was asked for; each segment is opened once. */
  async #compare(
    wanted: Wanted, candidates: readonly Candidate[], effort: Effort, signal: AbortSignal,
  ): Promise<SealedHit[]> {
    const places = new Map(candidates.map(({ agent_id, epoch, sequence }) => {
      const place = { agent_id, epoch, sequence };
      return [placeOf(place), place] as const;
    }));
    const texts = new Map<string, Map<Origin, Text>>();
    for (const segment of await this.#server.sealed([...places.values()], signal)) {
      texts.set(placeOf(segment), await this.#read(segment));
    }
    const hits: SealedHit[] = [];
    for (const candidate of candidates) {
      const segment = texts.get(placeOf(candidate));
      const text = segment?.get(originOf(candidate.id));
      if (!segment) effort.missing += 1;
      else if (!text) effort.notOpened += 1;
      else {
        effort.opened += 1;
        if (wanted.metBy([text.title, text.text, ...text.others])) hits.push({ candidate, text });
        else effort.falseHits += 1;
      }
    }
    return hits;
  }

  async #read(sealed: Sealed): Promise<Map<Origin, Text>> {
    try {
      const opened = await this.#open(sealed);
      return opened ? readTexts(placeOfOpened(opened), this.#session.decode(opened)) : new Map<Origin, Text>();
    } catch (error) {
      if (isDamage(error)) return new Map();
      throw error;
    }
  }

  /** The whole segment; `undefined` when it does not open with these keys. */
  async #open(sealed: Sealed): Promise<Opened | undefined> {
    const joiner = new PartJoiner();
    let whole: Opened | undefined;
    try {
      for (const envelope of envelopesOf(sealed)) {
        this.#server.met?.(peek(envelope));
        whole = joiner.add(await this.#session.open(envelope));
      }
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
    if (whole) this.#session.track(whole.plaintext);
    return whole;
  }
}

/** What there is to say of a search that was not whole; empty when there is nothing. */
export function limitsOf(effort: Readonly<Effort>): string[] {
  const told: string[] = [];
  if (effort.spans && !effort.days) told.push("None of your keys opens an index in this scope.");
  else if (effort.shutRoots) told.push(`${effort.shutRoots} indexes are for other keys and were not searched.`);
  if (effort.missing) told.push(`${effort.missing} texts may match and are not in the archive yet, or not any more.`);
  if (effort.notOpened) told.push(`${effort.notOpened} texts may match and do not open with your keys.`);
  if (effort.cut) told.push("There is more than one search compares: narrow it by person or time.");
  return told;
}

export function newEffort(): Effort {
  const none = { spans: 0, days: 0, shutRoots: 0, tokens: 0, candidates: 0, compared: 0, opened: 0 };
  return { ...none, notOpened: 0, missing: 0, falseHits: 0, cut: false };
}

/** Whether an error is the envelope's, and no reason to end the search. */
function isDamage(error: unknown): boolean {
  return (error instanceof UnlockError && !(error instanceof LockedError)) || error instanceof RangeError;
}

async function tokensOf(keys: readonly DayKey[], word: string): Promise<string[]> {
  return (await Promise.all(keys.map(({ key, fields }) => queryTokens(key, word, fields)))).flat();
}

/** Keys in portions whose tokens fit one request. */
function* portionsOf(keys: readonly DayKey[], words: number): Generator<DayKey[]> {
  const most = Math.max(1, Math.floor(MOST_TOKENS / (words * FIELDS.length * 4)));
  for (let at = 0; at < keys.length; at += most) yield keys.slice(at, at + most);
}

function placeOf({ agent_id, epoch, sequence }: { agent_id: string; epoch: string; sequence: number }): string {
  return `${agent_id} ${epoch} ${sequence}`;
}
