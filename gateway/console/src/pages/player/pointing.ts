/** What stands under a place of the timeline, in words. Never says that nothing happened where nothing was recorded. */

import type { Marker } from "../../player/markers";
import { reasonOf } from "../../player/markers";
import { findAt } from "../../player/stretches";
import type { Track } from "../../player/tracks";
import type { View } from "../../player/layout";
import { formatClock } from "../../ui/format";

interface Told {
  readonly tracks: readonly Track[];
  readonly markers: readonly Marker[];
  readonly view: { value: View };
}

export function tellAt({ tracks, markers, view }: Told, at: number, row: number): string {
  const track = tracks[row];
  const near = (view.value.until - view.value.from) / 150;
  if (!track || track.kind === "markers") {
    const marker = markers.find((one) => Math.abs(one.at - at) < near);
    return marker ? marker.text : "";
  }
  const gap = track.gaps.find((one) => one.from_ms - near / 2 <= at && at < one.until_ms + near / 2);
  if (gap) return `Not recorded from ${formatClock(gap.from_ms)} to ${formatClock(gap.until_ms)}: ${reasonOf(gap)}`;
  const active = findAt(track.activity, at);
  if (active) return active.paused ? "Paused" : active.idle ? "Idle" : [active.application, active.title].filter(Boolean).join(": ");
  const span = findAt(track.spans, at);
  if (span) return `${track.label}${span.end_to_end ? ", sealed end to end" : ""}`;
  return `${track.label}: nothing at this time`;
}
