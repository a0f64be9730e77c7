/**
 * The tracks of a timeline: which there are, what is in each, and which colour an application has.
 * Never gives two applications of the first eight the same colour.
 */

import type { ActivitySpan, Gap, RecordedSpan, TimelineAnswer } from "./answers";

export interface Track {
  readonly id: string;
  readonly label: string;
  readonly kind: "markers" | "activity" | "stream";
  readonly stream: string;
  readonly agentId: string;
  readonly spans: readonly RecordedSpan[];
  readonly gaps: readonly Gap[];
  readonly activity: readonly ActivitySpan[];
}

const STREAMS = [["screen", "Screen"], ["keystrokes", "Terminal"], ["email", "Mail"], ["audio", "Sound"]] as const;

export function tracksOf(timeline: TimelineAnswer): Track[] {
  const many = timeline.agents.length > 1;
  const tracks: Track[] = [{ ...EMPTY, id: "markers", label: "Markers", kind: "markers" }];
  for (const { agent_id, computer } of timeline.agents) {
    const label = (name: string) => (many ? `${name}, ${computer}` : name);
    const own = <T extends { agent_id: string }>(list: readonly T[]) => list.filter((one) => one.agent_id === agent_id);
    const activity = own(timeline.activity);
    const paused = own(timeline.gaps).filter((gap) => gap.stream === "activity");
    if (activity.length || paused.length) {
      tracks.push({ ...EMPTY, id: `activity ${agent_id}`, label: label("Activity"), kind: "activity", stream: "activity", agentId: agent_id, activity, gaps: paused });
    }
    for (const [stream, name] of STREAMS) {
      const spans = own(timeline.spans).filter((one) => one.stream === stream);
      const gaps = own(timeline.gaps).filter((one) => one.stream === stream);
      if (spans.length || gaps.length) {
        tracks.push({ ...EMPTY, id: `${stream} ${agent_id}`, label: label(name), kind: "stream", stream, agentId: agent_id, spans, gaps });
      }
    }
  }
  return tracks;
}

const EMPTY = { stream: "", agentId: "", spans: [], gaps: [], activity: [] } as const;

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
