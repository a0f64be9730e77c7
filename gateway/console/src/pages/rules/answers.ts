/** Rules as the API has them, and as the form has them. Never sends a condition that nobody set. */

export interface Piece {
  text: string;
  hit: boolean;
}

export type Severity = "low" | "medium" | "high";
export type Measure = "documents" | "active_minutes" | "mebibytes";

export interface TimeSpan {
  weekdays: number[];
  from_time: string;
  until_time: string;
}

export interface Conditions {
  words: string[];
  applications: string[];
  titles: string[];
  streams: string[];
  persons: string[];
  teams: string[];
  endpoints: string[];
  times: TimeSpan[];
  time_zone: string;
  outside_working_hours: boolean;
  volume: { measure: Measure; more_than: number; within_minutes: number } | null;
}

/** Whom a rule concerns: everybody, or the people of these teams. */
export interface Concern {
  all_teams: boolean;
  teams: string[];
}

export interface Rule extends Concern {
  rule_id: string;
  name: string;
  severity: Severity;
  enabled: boolean;
  kind: string;
  conditions: Conditions;
  /** Those of its teams that who saved it last sees now. */
  concerns: string[];
  version: number;
  changed_by: string;
  changed_at_ms: number;
  open_alerts: number;
  last_alert_ms: number | null;
}

export interface Draft extends Concern {
  name: string;
  severity: Severity;
  enabled: boolean;
  conditions: Conditions;
}

export interface Sample {
  person: string;
  computer: string;
  time_ms: number;
  until_ms: number;
  amount: number;
  stream: string;
  application: string;
  title: string;
  document_id: string;
  fragment: Piece[];
}

export interface Preview {
  count: number;
  people: number;
  cut: boolean;
  since_ms: number;
  until_ms: number;
  seen: number;
  days: { day: string; count: number }[];
  samples: Sample[];
}

export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const UNITS: Record<Measure, string> = { documents: "documents", active_minutes: "minutes active", mebibytes: "MiB recorded" };

export const WINDOWS = [
  [5, "5 minutes"],
  [15, "15 minutes"],
  [60, "an hour"],
  [240, "4 hours"],
  [480, "8 hours"],
  [1440, "a day (UTC)"],
] as const;

/** What cannot be asked of a measure, since what is measured does not have it. */
export const LACKING: Record<string, readonly string[]> = {
  active_minutes: ["words", "titles", "streams"],
  mebibytes: ["words", "titles", "applications"],
};

export const lacks = (conditions: Conditions, name: string) => Boolean(conditions.volume && LACKING[conditions.volume.measure]?.includes(name));

export const NO_CONDITIONS: Conditions = {
  words: [],
  applications: [],
  titles: [],
  streams: [],
  persons: [],
  teams: [],
  endpoints: [],
  times: [],
  time_zone: ZONE,
  outside_working_hours: false,
  volume: null,
};

/** A new rule concerns whom its maker sees. */
export const newDraft = (seen: Concern): Draft => ({ name: "", severity: "medium", enabled: true, conditions: NO_CONDITIONS, ...concernOf(seen) });

/** A rule as it is edited: with the teams that its editor sees. */
export const draftOf = (rule: Rule, everybody: boolean): Draft => ({ ...rule, teams: everybody ? rule.teams : rule.concerns });

/** As it is sent: no teams where it concerns everybody. */
export const concernOf = (concern: Concern): Concern => ({ all_teams: concern.all_teams, teams: concern.all_teams ? [] : [...concern.teams] });

/** Whether it would concern anybody. */
export const concernsAny = (concern: Concern) => concern.all_teams || concern.teams.length > 0;

/** The conditions as they are sent: without what the measure does not have, and without empty values. */
export function sent(conditions: Conditions): Partial<Conditions> {
  const kept = Object.entries(conditions).filter(([name, value]) => {
    if (lacks(conditions, name) || value === null || value === false) return false;
    return !Array.isArray(value) || value.length > 0;
  });
  const told = Object.fromEntries(kept) as Partial<Conditions>;
  if (!told.times) delete told.time_zone;
  return told;
}

/** Whether there is anything to be asked. */
export const isEmpty = (conditions: Conditions) => Object.keys(sent(conditions)).length === 0;

/** What a rule asks for, in a line. */
export function summary(conditions: Conditions): string {
  const parts = [
    ["words", conditions.words],
    ["in", conditions.applications],
    ["titled", conditions.titles],
    ["of", conditions.persons],
    ["of team", conditions.teams],
    ["on", conditions.endpoints],
    ["from", conditions.streams],
  ] as const;
  const told = parts.filter(([, values]) => values.length).map(([name, values]) => `${name} ${values.join(" or ")}`);
  if (conditions.times.length) told.push("at certain times");
  if (conditions.outside_working_hours) told.push("outside working hours");
  const { volume } = conditions;
  if (volume) told.push(`more than ${volume.more_than} ${UNITS[volume.measure]} within ${volume.within_minutes} min`);
  return told.join(", ");
}
