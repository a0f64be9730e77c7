/**
 * What is asked for, as the address holds it, so that every search can be shared, kept and gone back to.
 * Never puts words into the address that are to stay in this page.
 */

import type { Scope } from "../../blindsearch/server";

export const ORDERS = { score: "Best first", newest: "Newest first", oldest: "Oldest first" } as const;
export type Order = keyof typeof ORDERS;

/** Presets of time: what they are called, and how long, in milliseconds. */
export const TIMES = {
  "1h": ["Last hour", 3_600_000],
  "24h": ["Last 24 hours", 86_400_000],
  "7d": ["Last 7 days", 7 * 86_400_000],
  "30d": ["Last 30 days", 30 * 86_400_000],
} as const;
export type Preset = keyof typeof TIMES;

/** Filters that may have several values, by their names in the address. */
export const FILTERS = ["person", "team", "endpoint", "stream", "application"] as const;
export type Filter = (typeof FILTERS)[number];

/** Where: everywhere, or only in what is sealed end to end; the words of the latter stay in this page. */
export type Where = "all" | "sealed";

export interface Asked extends Record<Filter, readonly string[]> {
  readonly q: string;
  readonly when: Preset | "range" | "";
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  readonly fuzzy: boolean;
  /** As chosen; empty: the best first where there are words, else the newest. */
  readonly order: Order | "";
  readonly where: Where;
}

/** What the address asks for; what cannot be read counts as not asked. */
export function askedOf(query: URLSearchParams): Asked {
  const when = query.get("when") ?? "";
  const [sinceMs, untilMs] = [timeIn(query, "since_ms"), timeIn(query, "until_ms")];
  const order = query.get("order") ?? "";
  return {
    q: query.get("q") ?? "",
    person: query.getAll("person"),
    team: query.getAll("team"),
    endpoint: query.getAll("endpoint"),
    stream: query.getAll("stream"),
    application: query.getAll("application"),
    when: when in TIMES ? (when as Preset) : sinceMs !== undefined || untilMs !== undefined ? "range" : "",
    sinceMs: when in TIMES ? undefined : sinceMs,
    untilMs: when in TIMES ? undefined : untilMs,
    fuzzy: query.get("fuzzy") === "true",
    order: order in ORDERS ? (order as Order) : "",
    where: query.get("where") === "sealed" ? "sealed" : "all",
  };
}

/** The changes of the address that make it ask for `asked`; empty values are taken out of it. */
export function queryOf(asked: Asked): Record<string, string | readonly string[]> {
  const preset = asked.when in TIMES;
  return {
    ...Object.fromEntries(FILTERS.map((name) => [name, asked[name]])),
    q: asked.where === "sealed" ? "" : asked.q,
    when: preset ? asked.when : "",
    since_ms: preset ? "" : (asked.sinceMs?.toString() ?? ""),
    until_ms: preset ? "" : (asked.untilMs?.toString() ?? ""),
    fuzzy: asked.fuzzy ? "true" : "",
    order: asked.order,
    where: asked.where === "sealed" ? "sealed" : "",
  };
}

export function orderOf(asked: Asked): Order {
  return asked.order || (asked.q.trim() ? "score" : "newest");
}

/** The time that is asked for; presets end now, and begin at a whole minute so that the same search stays the same. */
export function rangeOf(asked: Asked, nowMs: number): { since_ms: number | undefined; until_ms: number | undefined } {
  if (asked.when in TIMES) {
    const length = TIMES[asked.when as Preset][1];
    return { since_ms: Math.floor(nowMs / 60_000) * 60_000 - length, until_ms: undefined };
  }
  return { since_ms: asked.sinceMs, until_ms: asked.untilMs };
}

/** Which end-to-end texts are meant. The application in front is sealed with the text: it is compared in the page. */
export function scopeOf(asked: Asked, nowMs: number): Scope {
  const { person, team, endpoint, stream } = asked;
  return { person, team, endpoint, stream, ...rangeOf(asked, nowMs) };
}

/** Whether there is anything to look for. */
export function isAsking(asked: Asked): boolean {
  return Boolean(asked.q.trim()) || isFiltered(asked);
}

export function isFiltered(asked: Asked): boolean {
  return asked.when !== "" || FILTERS.some((name) => asked[name].length > 0);
}

/** `values` with `value` in it or not. */
export function toggled(values: readonly string[], value: string): string[] {
  return values.includes(value) ? values.filter((one) => one !== value) : [...values, value];
}

function timeIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  return text && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
