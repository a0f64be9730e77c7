/**
 * What can be said of an agent's screen at a moment: that it is shown, that it is sealed, or that nothing was recorded.
 * Never lets an older picture stand for a time of which nothing is known.
 */

import type { Gap, Stretch, TimelineAnswer } from "./answers";
import { gapsAt, holds } from "./stretches";

export type PictureState =
  | { readonly is: "shown" }
  | { readonly is: "gap"; readonly gap: Gap }
  | { readonly is: "sealed" }
  /** Nothing was recorded, from when to when as far as it is known. */
  | { readonly is: "nothing"; readonly from_ms: number | undefined; readonly until_ms: number | undefined };

/** The frame of a sealed span may be told a moment before its envelope. */
const NEAR_MS = 1500;

/** `shotAt`: when the picture that could be shown was taken; `undefined`: there is none. */
export function stateOf(timeline: TimelineAnswer, agentId: string, at: number, shotAt: number | undefined): PictureState {
  const gap = gapsAt(timeline.gaps, "screen", agentId, at)[0];
  if (gap) return { is: "gap", gap };
  const own = timeline.spans.filter((span) => span.agent_id === agentId);
  const screens = own.filter((span) => span.stream === "screen");
  // The latest span that began says whether what is on the screen now was sealed.
  const latest = screens.filter((span) => span.from_ms <= at).reduce<(typeof screens)[number] | undefined>((last, one) => (last && last.from_ms > one.from_ms ? last : one), undefined);
  const active = [...own, ...timeline.activity.filter((one) => one.agent_id === agentId)];
  if (!isNear(active, at, timeline.resolution_ms)) return { is: "nothing", ...aroundOf(active, at) };
  const opened = shotAt !== undefined && (!latest || shotAt >= latest.from_ms - NEAR_MS);
  if (latest?.end_to_end && !opened) return { is: "sealed" };
  return shotAt === undefined ? { is: "nothing", ...aroundOf(screens, at) } : { is: "shown" };
}

function isNear(stretches: readonly Stretch[], at: number, resolution_ms: number): boolean {
  return stretches.some((one) => holds({ from_ms: one.from_ms - NEAR_MS, until_ms: one.until_ms + resolution_ms }, at));
}

function aroundOf(stretches: readonly Stretch[], at: number): { from_ms: number | undefined; until_ms: number | undefined } {
  const before = stretches.filter((one) => one.until_ms <= at).map((one) => one.until_ms);
  const after = stretches.filter((one) => one.from_ms > at).map((one) => one.from_ms);
  return { from_ms: before.length ? Math.max(...before) : undefined, until_ms: after.length ? Math.min(...after) : undefined };
}

export interface Pane {
  /** A display's key, or an agent's id when none of its displays is known. */
  readonly key: string;
  readonly agentId: string;
  readonly state: PictureState;
}

/** Which panes to show: those with something to see or to say; one that says that there is nothing, when that is all. */
export function panesOf(timeline: TimelineAnswer, at: number, shots: ReadonlyMap<string, { agentId: string; shotAt: number | undefined }>): Pane[] {
  const known = new Set([...shots.values()].map((one) => one.agentId));
  const panes: Pane[] = [...shots].map(([key, { agentId, shotAt }]) => ({ key, agentId, state: stateOf(timeline, agentId, at, shotAt) }));
  for (const { agent_id } of timeline.agents) {
    if (!known.has(agent_id)) panes.push({ key: agent_id, agentId: agent_id, state: stateOf(timeline, agent_id, at, undefined) });
  }
  const telling = panes.filter((pane) => pane.state.is !== "nothing");
  const once = telling.filter((pane, place) => pane.state.is === "shown" || telling.findIndex((one) => one.agentId === pane.agentId) === place);
  return once.sort((one, other) => one.key.localeCompare(other.key));
}
