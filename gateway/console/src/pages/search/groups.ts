/**
 * Screens of one person on which nearly the same was found within a short time, made one result.
 * Never joins what another agent, application or text has, and never leaves one out: each is in exactly one group.
 */

import { plainOf, type Pieces } from "../../blindsearch/pieces";
import type { Result } from "./answer";

/** Between two moments of a group there is no more than this. */
export const APART_MS = 10 * 60_000;
/** So much of their words two screens share that are nearly the same. */
const ALIKE = 0.6;
/** Of a long line so many words are compared. */
const MOST_WORDS = 60;

export interface Group {
  /** The one that is shown: the first in the order that was asked for. */
  readonly result: Result;
  /** The others, by time. */
  readonly others: readonly Result[];
}

/** How many more there are, and when: such as `and 12 more until 10:42`. */
export function moreWords({ result, others }: Group, tellTime: (ms: number) => string): string {
  const [first, last] = [others[0]!.timeMs, others.at(-1)!.timeMs];
  const when =
    first >= result.timeMs ? `until ${tellTime(last)}` : last <= result.timeMs ? `since ${tellTime(first)}` : `from ${tellTime(first)} to ${tellTime(last)}`;
  return `and ${others.length} more ${when}`;
}

interface Alike {
  readonly words: ReadonlySet<string>;
  readonly ranked: { rank: number; result: Result }[];
}

/** Groups in the order of the first of each. */
export function grouped(results: readonly Result[]): Group[] {
  const groups: { rank: number; group: Group }[] = [];
  const places = new Map<string, Alike[]>();
  results.forEach((result, rank) => {
    if (result.stream !== "screen") {
      groups.push({ rank, group: { result, others: [] } });
      return;
    }
    const place = [result.source, result.agentId, result.application].join("\0");
    const there = places.get(place) ?? [];
    places.set(place, there);
    const words = wordsOf(result);
    const alike = there.find((one) => areAlike(one.words, words));
    if (alike) alike.ranked.push({ rank, result });
    else there.push({ words, ranked: [{ rank, result }] });
  });
  for (const alike of [...places.values()].flat()) groups.push(...near(alike));
  return groups.sort((one, other) => one.rank - other.rank).map(({ group }) => group);
}

/** Those that are alike, cut where nothing was found for a while. */
function* near({ ranked }: Alike): Generator<{ rank: number; group: Group }> {
  ranked.sort((one, other) => one.result.timeMs - other.result.timeMs);
  for (let from = 0, at = 1; at <= ranked.length; at += 1) {
    if (at < ranked.length && ranked[at]!.result.timeMs - ranked[at - 1]!.result.timeMs <= APART_MS) continue;
    const run = ranked.slice(from, at);
    const first = run.reduce((least, one) => (one.rank < least.rank ? one : least));
    yield { rank: first.rank, group: { result: first.result, others: run.filter((one) => one !== first).map((one) => one.result) } };
    from = at;
  }
}

/** Words of the lines in which something was found; where nothing is marked, those that are shown of it. */
function wordsOf({ title, fragments }: Result): ReadonlySet<string> {
  const found = fragments.flatMap(linesFound);
  const lines = found.length ? found : title.some((piece) => piece.hit) ? [plainOf(title)] : [title, ...fragments.slice(0, 1)].map(plainOf);
  return new Set(lines.flatMap((line) => line.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).slice(0, MOST_WORDS));
}

function linesFound(pieces: Pieces): string[] {
  const lines: { text: string; hit: boolean }[] = [{ text: "", hit: false }];
  for (const { text, hit } of pieces) {
    text.split("\n").forEach((part, number) => {
      if (number) lines.push({ text: "", hit: false });
      const line = lines.at(-1)!;
      line.text += part;
      line.hit ||= hit && part !== "";
    });
  }
  return lines.filter((line) => line.hit).map((line) => line.text);
}

function areAlike(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  let shared = 0;
  for (const word of one) if (other.has(word)) shared += 1;
  return shared >= ALIKE * (one.size + other.size - shared);
}
