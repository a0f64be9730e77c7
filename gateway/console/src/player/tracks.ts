/**
 * The tracks of a timeline: which there are, what is in each, and which colour an application has.
 * Never gives two applications of the first eight the same colour.
 */

import type { ActivitySpan, Gap, RecordedSpan, TimelineAnswer } from "./answers";

export interface Track {
  readonly id: string;
  readonly label: string;
  readonly kind: "markers" | "activity" | "stream";
  readonly spans: readonly RecordedSpan[];
  readonly gaps: readonly Gap[];
  readonly activity: readonly ActivitySpan[];
}

const STREAMS = [["screen", "Screen"], ["keystrokes", "Terminal"], ["email", "Email"], ["audio", "Sound"]] as const;

/** A computer's tracks stand together, whichever of its agents recorded them. */
export function tracksOf(timeline: TimelineAnswer): Track[] {
  const computers = [...new Set(timeline.agents.map((one) => one.computer))];
  const tracks: Track[] = [{ ...EMPTY, id: "markers", label: "Markers", kind: "markers" }];
  for (const computer of computers) {
    const agents = new Set(timeline.agents.filter((one) => one.computer === computer).map((one) => one.agent_id));
    const label = (name: string) => (computers.length > 1 ? `${name}, ${computer}` : name);
    const own = <T extends { agent_id: string }>(list: readonly T[]) => list.filter((one) => agents.has(one.agent_id));
    const activity = own(timeline.activity);
    const unknown = own(timeline.gaps).filter((gap) => gap.stream === "activity");
    if (activity.length || unknown.length) {
      tracks.push({ ...EMPTY, id: `activity ${computer}`, label: label("Activity"), kind: "activity", activity, gaps: unknown });
    }
    for (const [stream, name] of STREAMS) {
      const spans = own(timeline.spans).filter((one) => one.stream === stream);
      const gaps = own(timeline.gaps).filter((one) => one.stream === stream);
      if (spans.length || gaps.length) {
        tracks.push({ ...EMPTY, id: `${stream} ${computer}`, label: label(name), kind: "stream", spans: inOrder(spans), gaps });
      }
    }
  }
  return tracks;
}

const inOrder = (spans: readonly RecordedSpan[]) => [...spans].sort((one, other) => one.from_ms - other.from_ms);

const EMPTY = { spans: [], gaps: [], activity: [] } as const;

/** How many applications have a colour of their own. */
export const COLOURS = 8;

/** The applications by the time they were in front, the longest first. */
export function rankApplications(activity: readonly ActivitySpan[]): { application: string; ms: number }[] {
  const totals = new Map<string, number>();
  for (const one of activity) {
    if (one.idle || one.paused || !one.application) continue;
    totals.set(one.application, (totals.get(one.application) ?? 0) + one.until_ms - one.from_ms);
  }
  return [...totals].map(([application, ms]) => ({ application, ms })).sort((a, b) => b.ms - a.ms || a.application.localeCompare(b.application));
}

/** The number of each application's colour; those after the eighth share the last. */
export function colourNumbers(activity: readonly ActivitySpan[]): (application: string) => number {
  const numbers = new Map(rankApplications(activity).map(({ application }, number) => [application, Math.min(number, COLOURS)]));
  return (application) => numbers.get(application) ?? COLOURS;
}
