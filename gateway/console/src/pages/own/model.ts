/** What the server tells a recorded person of themselves. */

export interface OwnTold {
  person: string;
  organisation: string;
  purpose: string;
  contact: string;
  policy: { stream: string; words: string; end_to_end: boolean }[];
  limits: string[];
  kept: string;
  computers: { computer: string; connected: boolean; first_seen_ms: number; last_seen_ms: number }[];
  streams: { stream: string; since_ms: number; last_ms: number }[];
  days: { day: string; active_ms: number; idle_ms: number }[];
  applications: { application: string; active_ms: number }[];
}

export interface LookTold {
  id: string;
  time_ms: number;
  actor: string;
  own: boolean;
  action: string;
  outcome: string;
  purpose: string;
  streams: string[];
  since_ms: number | null;
  until_ms: number | null;
}

/** Looks of one person at one thing for one reason within a short time, which are one to who reads of them. */
export interface LookGroup extends LookTold {
  times: number;
}

const TOGETHER_MS = 15 * 60_000;

/** `looks` are the newest first. */
export function grouped(looks: readonly LookTold[]): LookGroup[] {
  const groups: LookGroup[] = [];
  let oldest = 0;
  for (const look of looks) {
    const last = groups.at(-1);
    const same =
      last && last.actor === look.actor && last.purpose === look.purpose && lookWords(last) === lookWords(look) && oldest - look.time_ms < TOGETHER_MS;
    oldest = look.time_ms;
    if (!same) {
      groups.push({ ...look, times: 1 });
      continue;
    }
    last.times += 1;
    last.since_ms = least(last.since_ms, look.since_ms);
    last.until_ms = most(last.until_ms, look.until_ms);
  }
  return groups;
}

const least = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : Math.min(a, b));
const most = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : Math.max(a, b));

const STREAMS: Record<string, string> = {
  screen: "your screens",
  keystrokes: "your terminals",
  email: "your emails",
  activity: "your activity",
  audio: "your sound",
};

/** What somebody did, in plain words. */
export function lookWords(look: LookTold): string {
  const what = look.streams.map((stream) => STREAMS[stream] ?? stream).join(", ") || "what was recorded of you";
  const failed = look.outcome === "refused" || look.outcome === "failed";
  const words: Record<string, readonly [string, string]> = {
    view: [`Looked at ${what}`, `Wanted to look at ${what}, and was refused`],
    search: ["Searched what was recorded of you", "Wanted to search what was recorded of you, and was refused"],
    watch: ["Watched your screen live", "Wanted to watch your screen live, and was refused"],
    listen: ["Listened live", "Wanted to listen live, and was refused"],
    unlock: [look.outcome === "asked" ? `Asked to unlock ${what}` : `Unlocked ${what}`, `Wanted to unlock ${what}, and was refused`],
    fetch: [`Took sealed recordings of ${what}`, `Wanted sealed recordings of ${what}, and was refused`],
    export: [`Took away a copy of ${what}`, `Wanted to take away a copy of ${what}, and was refused`],
  };
  const known = words[look.action];
  if (known) return known[failed ? 1 : 0];
  return `${look.action.replaceAll("_", " ")} (${look.outcome})`;
}
