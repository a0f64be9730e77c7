/** Times, durations and sizes as people read them, in their own zone. Never guesses a unit: times are milliseconds. */

const locale = navigator.language;
const DAY = new Intl.DateTimeFormat(locale, { year: "numeric", month: "short", day: "numeric" });
const CLOCK = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const MINUTE = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const NUMBER = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });

export const formatDay = (ms: number) => DAY.format(ms);
export const formatClock = (ms: number) => CLOCK.format(ms);
export const formatMinute = (ms: number) => MINUTE.format(ms);
export const formatNumber = (value: number) => NUMBER.format(value);

/** The zone of all times here, such as `Europe/Berlin (GMT+1)`. */
export function formatZone(now = Date.now()): string {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  const offset = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" }).formatToParts(now).find((part) => part.type === "timeZoneName");
  return timeZone === "UTC" || !offset ? timeZone : `${timeZone} (${offset.value})`;
}

/** Day and time; of today the time alone. */
export function formatTime(ms: number, now = Date.now()): string {
  return new Date(ms).toDateString() === new Date(now).toDateString() ? CLOCK.format(ms) : `${DAY.format(ms)}, ${CLOCK.format(ms)}`;
}

/** Such as `3 h 05 min`, `12 s`, `4 d 2 h`. */
export function formatDuration(ms: number): string {
  const s = Math.round(ms / 1000);
  if (s < 60) return ms < 1000 ? `${Math.round(ms)} ms` : `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** How long ago, such as `5 min ago`. */
export function formatAge(ms: number, now = Date.now()): string {
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 5) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/** In powers of 1024, such as `3.4 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${NUMBER.format(bytes)} ${units[at]}`;
}

/** For `<input type="datetime-local">`, in this browser's zone. */
export function toLocalInput(ms: number): string {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function fromLocalInput(text: string): number | undefined {
  const ms = new Date(text).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}
