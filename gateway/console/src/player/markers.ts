/**
 * Moments worth going to: what a search found, alerts, gaps; in order of time.
 * Never leaves out a gap because something else stands at the same moment.
 */

import type { Gap, SearchHit, TextPiece, TimelineAlert } from "./answers";

export interface Marker {
  readonly id: string;
  readonly at: number;
  readonly until: number;
  readonly kind: "hit" | "alert" | "gap";
  readonly text: string;
  readonly agentId: string;
}

const REASONS: Record<string, string> = {
  unknown: "the reason is not known",
  spool_full: "the endpoint's queue was full",
  spool_expired: "the endpoint was away for too long",
  spool_corrupt: "the endpoint's queue was damaged",
  agent_killed: "the agent was ended",
  capture_failed: "it could not be recorded",
  not_storable: "a store refused it",
  paused: "the person paused recording",
};

/** A gap's reason in words. */
export function reasonOf(gap: Pick<Gap, "reason" | "detail">): string {
  const reason = REASONS[gap.reason] ?? gap.reason.replaceAll("_", " ");
  return gap.detail ? `${reason} (${gap.detail})` : reason;
}

const plain = (pieces: readonly TextPiece[] | undefined) => (pieces ?? []).map((piece) => piece.text).join("");

export function ofHits(hits: readonly SearchHit[]): Marker[] {
  return hits.map((hit) => {
    const at = hit.frame_at_ms ?? hit.time_ms;
    const text = [plain(hit.fragments[0]), plain(hit.title)].find((one) => one.trim()) ?? hit.kind;
    return { id: `hit-${hit.id}`, at, until: Math.max(at, hit.until_ms), kind: "hit", text, agentId: hit.agent_id };
  });
}

export function ofAlerts(alerts: readonly TimelineAlert[]): Marker[] {
  return alerts.map((alert, number) => ({
    id: `alert-${number}-${alert.at_ms}`,
    at: alert.at_ms,
    until: alert.at_ms,
    kind: "alert",
    text: `${alert.rule} (${alert.severity})`,
    agentId: alert.agent_id,
  }));
}

export function ofGaps(gaps: readonly Gap[]): Marker[] {
  return gaps.map((gap, number) => ({
    id: `gap-${number}-${gap.from_ms}`,
    at: gap.from_ms,
    until: gap.until_ms,
    kind: "gap",
    text: `${gap.stream}: ${reasonOf(gap)}`,
    agentId: gap.agent_id,
  }));
}

export function inOrder(...lists: readonly (readonly Marker[])[]): Marker[] {
  return lists.flat().sort((one, other) => one.at - other.at || one.kind.localeCompare(other.kind));
}

/** The next (or the one before) in the list, by time; those within half a second of `at` count as passed. */
export function nextMarker(markers: readonly Marker[], at: number, forward = true): Marker | undefined {
  return forward
    ? markers.find((marker) => marker.at > at + 500)
    : markers.findLast((marker) => marker.at < at - 500);
}
