/** What the server answers to a search, and the one form in which all results are shown. Never makes markup of text. */

import type { SealedHit } from "../../blindsearch/search";
import type { Pieces } from "../../blindsearch/pieces";
import type { DatedText, Line, Text } from "../../blindsearch/texts";
import type { Wanted } from "../../blindsearch/wanted";

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Hit {
  readonly id: string;
  readonly index: string;
  readonly score: number | null;
  readonly time_ms: number;
  readonly until_ms: number;
  readonly agent_id: string;
  readonly person: string;
  readonly computer: string;
  readonly stream: string;
  readonly kind: string;
  readonly application: string;
  readonly title: Pieces;
  readonly fragments: readonly Pieces[];
  readonly display: number | null;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly frame_at_ms: number | null;
}

export interface Facet {
  readonly value: string;
  readonly count: number;
}

export interface Day {
  readonly from_ms: number;
  readonly until_ms: number;
  readonly count: number;
}

export interface Facets {
  readonly person: readonly Facet[];
  readonly stream: readonly Facet[];
  readonly kind: readonly Facet[];
  readonly application: readonly Facet[];
  readonly computer: readonly Facet[];
  readonly days: readonly Day[];
}

export interface Answer {
  readonly total: number;
  readonly at_least: boolean;
  readonly took_ms: number;
  readonly after: string | null;
  readonly hits: readonly Hit[];
  readonly facets: Facets | null;
  readonly end_to_end: number;
}

export interface DocumentLine extends Box {
  readonly text: string;
  readonly display: number;
  readonly appeared_ms: number;
  readonly went_ms: number | null;
  readonly hit: boolean;
}

export interface WholeDocument extends Hit {
  readonly text: Pieces;
  readonly lines: readonly DocumentLine[];
}

/** Where a result comes from: what the server reads, what this page opened, what the server opened for this page. */
export type Source = "open" | "sealed" | "server";

/** A result as the page shows it. */
export interface Result {
  readonly key: string;
  readonly source: Source;
  readonly timeMs: number;
  readonly agentId: string;
  readonly person: string;
  readonly computer: string;
  readonly stream: string;
  readonly kind: string;
  readonly application: string;
  readonly title: Pieces;
  readonly fragments: readonly Pieces[];
  readonly people: string;
  readonly display: number;
  /** When the words stood on the display; `undefined` where there is no picture. */
  readonly frameAtMs: number | undefined;
  readonly boxes: readonly Box[];
  /** Where the server has the whole of it. */
  readonly document: { readonly index: string; readonly id: string } | undefined;
  /** What was opened, where it was sealed. */
  readonly text: Text | undefined;
}

export function resultOfHit(hit: Hit): Result {
  return {
    key: `open ${hit.id}`,
    source: "open",
    timeMs: hit.time_ms,
    agentId: hit.agent_id,
    person: hit.person,
    computer: hit.computer,
    stream: hit.stream,
    kind: hit.kind,
    application: hit.application,
    title: hit.title,
    fragments: hit.fragments,
    people: peopleOf(hit.sender, hit.recipients),
    display: hit.display ?? 0,
    frameAtMs: hit.stream === "screen" ? (hit.frame_at_ms ?? hit.time_ms) : undefined,
    boxes: [],
    document: { index: hit.index, id: hit.id },
    text: undefined,
  };
}

export function resultOfSealed({ candidate, text }: SealedHit, wanted: Wanted): Result {
  const { agent_id, person, computer, stream, kind, time_ms } = candidate;
  const facts = { agentId: agent_id, person, computer, stream, kind, timeMs: time_ms };
  return { key: `sealed ${candidate.id}`, source: "sealed", ...facts, ...shownOf(text, stream, wanted) };
}

export function resultOfServerText(text: DatedText, wanted: Wanted | undefined): Result {
  const { agentId, person, computer, stream, kind, timeMs } = text;
  const facts = { agentId, person, computer, stream, kind, timeMs };
  return { key: `server ${text.id}`, source: "server", ...facts, ...shownOf(text, stream, wanted) };
}

/** What is shown of an opened text: without words that were asked for, its beginning. */
function shownOf(text: Text, stream: string, wanted: Wanted | undefined) {
  const hits = wanted ? text.lines.filter((line) => wanted.touches(line.text)) : [];
  const first = hits[0];
  const fragments = [
    ...(wanted?.fragments(text.text) ?? []),
    ...text.others.filter((other) => wanted?.touches(other)).map((other) => wanted!.mark(other)),
  ];
  return {
    application: text.application,
    title: wanted?.mark(text.title) ?? [{ text: text.title, hit: false }],
    fragments: fragments.length ? fragments : [[{ text: text.text.slice(0, 140), hit: false }]],
    people: peopleOf(text.sender, text.recipients),
    display: first?.display ?? 0,
    frameAtMs: stream === "screen" ? (first?.appearedMs ?? text.timeMs) : undefined,
    boxes: boxesOf(hits, first),
    document: undefined,
    text,
  };
}

/** Of the lines that have the words, those that stood on the same display when the first did. */
function boxesOf(hits: readonly Line[], first: Line | undefined): readonly Box[] {
  if (!first) return [];
  const at = first.appearedMs;
  return hits.filter(
    (line) => line.display === first.display && line.appearedMs <= at && (line.wentMs === undefined || line.wentMs > at),
  );
}

/** The boxes of a document's lines that have the words, as they stood at that moment. */
export function boxesOfLines(lines: readonly DocumentLine[], display: number, atMs: number): DocumentLine[] {
  return lines.filter(
    (line) =>
      line.hit && line.display === display && line.appeared_ms <= atMs && (line.went_ms === null || line.went_ms > atMs),
  );
}

function peopleOf(sender: string, recipients: readonly string[]): string {
  return [sender, recipients.join(", ")].filter(Boolean).join(" → ");
}

/** Where the player shows it; `words` are left out where they are to stay in this page. */
export function playerLink(result: Result, words: string, atMs = result.frameAtMs ?? result.timeMs): string {
  const query = new URLSearchParams({ person: result.person, at: String(Math.round(atMs)) });
  if (words.trim()) query.set("q", words);
  return `/player?${query}`;
}

export const KINDS: Readonly<Record<string, string>> = {
  screen: "Screen",
  terminal: "Terminal",
  email: "Email",
  window: "Window",
  keystrokes: "Keystrokes",
  activity: "Activity",
};

export function kindName(result: { kind: string; stream: string }): string {
  return KINDS[result.kind] ?? KINDS[result.stream] ?? result.kind;
}
