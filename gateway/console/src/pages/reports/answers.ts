/** What the API answers about activity. */

export interface ActivityRow {
  person?: string;
  team?: string;
  application?: string;
  day?: string;
  hour_ms?: number;
  weekday?: number;
  hour_of_day?: number;
  active_ms: number;
  idle_ms: number;
  switches: number;
  people: number;
}

export interface ActivityReport {
  by: string[];
  rows: ActivityRow[];
  more: boolean;
}

export interface DayRow {
  person: string;
  day: string;
  active_ms: number;
  idle_ms: number;
  switches: number;
  applications: number;
  top_application: string;
  top_ms: number;
  first_at_ms?: number;
  last_at_ms?: number;
  longest_ms?: number;
  deep_ms?: number;
  overtime_ms?: number;
}

export interface PersonRow {
  person: string;
  days: number;
  active_ms: number;
  idle_ms: number;
  switches: number;
  top_application: string;
  top_ms: number;
  longest_ms?: number;
  deep_ms?: number;
  overtime_ms?: number;
}

export interface Rows<Row> {
  rows: Row[];
  more: boolean;
}

export interface OneDay {
  person: string;
  day: string;
  hours: { hour_ms: number; application: string; active_ms: number; idle_ms: number; switches: number }[];
  stretches: { from_ms: number; until_ms: number }[];
}

export interface Choices {
  teams: string[];
  people: string[];
  more: boolean;
}

export interface Week {
  team: string;
  time_zone: string;
  hours: { weekday: number; from_time: string; until_time: string }[];
}

export const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const;

/** An application's name, or what stands for none. */
export const applicationName = (name: string | undefined) => name || "no window";

/** Hours and minutes, such as `3:05`; what is not known is a dash. */
export function formatHours(ms: number | undefined): string {
  if (ms === undefined) return "–";
  const minutes = Math.round(ms / 60_000);
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
}

/** A part of a whole in percent. */
export const formatShare = (part: number, whole: number) => (whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–");
