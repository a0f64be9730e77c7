/** What was in front at the clock's moment, what before and after, and how the day was spent so far in the same range. */

import type { ActivitySpan } from "../../player/answers";
import { holds } from "../../player/stretches";
import { formatClock, formatDuration } from "../../ui/format";
import type { Replay } from "./replay";

const AROUND = 12;

export function ActivityPane({ replay, colourOf }: { replay: Replay; colourOf: (application: string) => number }) {
  const at = replay.coarse.value;
  const { activity, activity_coarse } = replay.timeline;
  if (!activity.length) return <p class="no-picture quiet">No activity was recorded on this day.</p>;
  const now = activity.filter((one) => holds(one, at));
  const place = activity.findIndex((one) => one.until_ms > at);
  const around = activity.slice(Math.max(0, place - 4), Math.max(0, place - 4) + AROUND);
  return (
    <div class="activity">
      <h2>In front</h2>
      {now.length ? now.map((one, number) => <Now key={number} span={one} />) : <p class="quiet">Nothing is known of this moment.</p>}
      {activity_coarse && <p class="quiet">There is so much of this day that only hours are shown.</p>}
      <h2>Before and after</h2>
      <ul class="runs">
        {around.map((one) => (
          <li key={`${one.from_ms}-${one.agent_id}`} aria-current={holds(one, at) ? "time" : undefined}>
            <button type="button" class="link" onClick={() => replay.seek(one.from_ms)}>
              {formatClock(one.from_ms)}
            </button>
            <span class={`swatch app-${one.idle ? "idle" : colourOf(one.application)}`} aria-hidden="true" />
            <span>{nameOf(one)}</span>
            <span class="quiet">{formatDuration(one.until_ms - one.from_ms)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Now({ span }: { span: ActivitySpan }) {
  return (
    <p>
      <strong>{nameOf(span)}</strong>
      {span.title && <span class="window-title">{span.title}</span>}
    </p>
  );
}

function nameOf(span: ActivitySpan): string {
  if (span.paused) return "Recording was paused";
  return span.idle ? `Idle${span.application ? ` (${span.application})` : ""}` : span.application || "Unknown";
}
