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
