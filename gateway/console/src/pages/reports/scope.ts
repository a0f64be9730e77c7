/**
 * What a report is about: days, people, teams and an application, as the address of the page has them.
 * Never keeps anything beside the address, so that every report can be shared as a link.
 */

import { withQuery, type Query } from "../../api/client";
import { query, setQuery } from "../../app/router";

export type View = "overview" | "people" | "applications" | "days" | "hours" | "day" | "week";

export interface Scope {
  view: View;
  since: string;
  until: string;
  persons: readonly string[];
  teams: readonly string[];
  application: string;
  day: string;
}

const DAY_MS = 86_400_000;
const VIEWS: readonly View[] = ["overview", "people", "applications", "days", "hours", "day", "week"];

/** A date of this browser's zone, such as `2026-11-27`. */
export function dateOf(ms: number): string {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

/** The beginning of a date of this browser's zone. */
export const startOf = (date: string) => new Date(`${date}T00:00:00`).getTime();

/** The date so many days later. */
export function shifted(date: string, days: number): string {
  const at = new Date(`${date}T12:00:00`);
  at.setDate(at.getDate() + days);
  return dateOf(at.getTime());
}

const isDate = (text: string | null): text is string => Boolean(text && /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(startOf(text)));

/** The scope that the address has; by default the last two weeks. */
export function currentScope(): Scope {
  const { value } = query;
  const today = dateOf(Date.now());
  const until = value.get("until");
  const since = value.get("since");
  const last = isDate(until) ? until : today;
  const view = value.get("view") as View | null;
  const day = value.get("day");
  return {
    view: view && VIEWS.includes(view) ? view : "overview",
    since: isDate(since) && since <= last ? since : shifted(last, -13),
    until: last,
    persons: value.getAll("person"),
    teams: value.getAll("team"),
    application: value.get("application") ?? "",
    day: isDate(day) ? day : last,
  };
}

/** Change some of the scope; a change of what is looked at can be gone back from. */
export function changeScope(change: Partial<Scope>): void {
  const { persons, teams, ...texts } = change;
  const changes: Record<string, string | readonly string[] | undefined> = { ...texts };
  if (persons) changes["person"] = persons;
  if (teams) changes["team"] = teams;
  setQuery(changes, !change.view);
}

/** The address of the page with a change. */
export function scopeLink(change: Partial<Scope>): string {
  const { persons, teams, ...rest } = { ...currentScope(), ...change };
  return withQuery("/reports", { ...rest, person: persons, team: teams });
}

/** What the API is asked. */
export function asked(scope: Scope): Query {
  return {
    since_ms: startOf(scope.since),
    until_ms: startOf(shifted(scope.until, 1)),
    person: scope.persons,
    team: scope.teams,
  };
}

/** How many days are asked for. */
export const dayCount = (scope: Scope) => Math.round((startOf(scope.until) - startOf(scope.since)) / DAY_MS) + 1;

/** The days asked for, in their order. */
export function daysOf(scope: Scope): string[] {
  return Array.from({ length: Math.min(400, dayCount(scope)) }, (_, number) => shifted(scope.since, number));
}

/** The player at a person's moment. */
export const playerLink = (person: string, ms: number) => withQuery("/player", { person, at: Math.round(ms) });
