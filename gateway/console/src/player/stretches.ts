/**
 * Stretches of time: joined, cut from one another, and what of a day is quiet.
 * Never counts a gap as quiet: what was not recorded is something else than that nothing happened.
 */

import type { ActivitySpan, Gap, RecordedSpan, Stretch, TimelineAnswer } from "./answers";

/** Shorter pauses are watched, not skipped. */
export const QUIET_MS = 5000;

/** In order, those that touch or overlap (or are less than `apart` from another) made one. */
export function join(stretches: readonly Stretch[], apart = 0): Stretch[] {
  const joined: { from_ms: number; until_ms: number }[] = [];
  for (const one of [...stretches].sort((a, b) => a.from_ms - b.from_ms)) {
    const last = joined.at(-1);
    if (last && one.from_ms <= last.until_ms + apart) last.until_ms = Math.max(last.until_ms, one.until_ms);
    else joined.push({ from_ms: one.from_ms, until_ms: one.until_ms });
  }
  return joined;
}

/** What of `stretches` is not in `taken`. */
export function subtract(stretches: readonly Stretch[], taken: readonly Stretch[]): Stretch[] {
  const left: Stretch[] = [];
  const cuts = join(taken);
  for (const { from_ms, until_ms } of join(stretches)) {
    let at = from_ms;
    for (const cut of cuts) {
      if (cut.until_ms <= at) continue;
      if (cut.from_ms >= until_ms) break;
      if (cut.from_ms > at) left.push({ from_ms: at, until_ms: cut.from_ms });
      at = cut.until_ms;
    }
    if (at < until_ms) left.push({ from_ms: at, until_ms });
  }
  return left;
}

export function holds(stretch: Stretch, at: number): boolean {
  return stretch.from_ms <= at && at < stretch.until_ms;
}

/** The one that holds the moment, if one does. */
export function findAt<T extends Stretch>(stretches: readonly T[], at: number): T | undefined {
  return stretches.find((one) => holds(one, at));
}

/** From the first moment of which there is something to the last; `undefined` when there is nothing. */
export function extent(timeline: Pick<TimelineAnswer, "spans" | "gaps">): Stretch | undefined {
  const all = join([...timeline.spans, ...timeline.gaps]);
  if (!all.length) return undefined;
  return { from_ms: all[0]!.from_ms, until_ms: all.at(-1)!.until_ms };
}

/** When nothing happened: nobody typed or moved, or no stream has anything. Gaps are cut out. */
export function findQuiet(timeline: {
  spans: readonly RecordedSpan[];
  gaps: readonly Gap[];
  activity: readonly ActivitySpan[];
}): Stretch[] {
  const whole = extent(timeline);
  if (!whole) return [];
  const pauses = subtract([whole], timeline.spans);
  const idle = timeline.activity.filter((one) => one.idle && !one.paused);
  const active = timeline.activity.filter((one) => !one.idle && !one.paused);
  const quiet = join([...pauses, ...subtract(idle, active)]);
  return subtract(quiet, timeline.gaps).filter((one) => one.until_ms - one.from_ms >= QUIET_MS);
}

export interface Leap {
  readonly to_ms: number;
  readonly skipped_ms: number;
  /** The gap that was left behind, if it was one: it is shown for a moment before. */
  readonly gap: Gap | undefined;
}

/** Where skipping what is quiet leads from `at`; `undefined`: there is nothing to skip. `shown_ms`: how long this gap was shown. */
export function leap(at: number, quiet: readonly Stretch[], gaps: readonly Gap[], spans: readonly Stretch[]): Leap | undefined {
  const gap = findAt(gaps, at);
  if (gap) {
    // What another stream recorded meanwhile is watched.
    if (findAt(spans, at)) return undefined;
    const next = spans.filter((one) => one.from_ms > at).reduce((least, one) => Math.min(least, one.from_ms), gap.until_ms);
    return { to_ms: Math.min(gap.until_ms, next), skipped_ms: Math.min(gap.until_ms, next) - at, gap };
  }
  const pause = findAt(quiet, at);
  if (!pause || pause.until_ms - at < QUIET_MS / 2) return undefined;
  return { to_ms: pause.until_ms, skipped_ms: pause.until_ms - at, gap: undefined };
}

/** Gaps of one stream of one agent that hold the moment. */
export function gapsAt(gaps: readonly Gap[], stream: string, agentId: string, at: number): Gap[] {
  return gaps.filter((one) => one.stream === stream && one.agent_id === agentId && holds(one, at));
}
