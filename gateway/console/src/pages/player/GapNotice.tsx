/** What says that nothing was recorded, from when to when and why. Never shows an older picture instead. */

import type { Gap } from "../../player/answers";
import { reasonOf } from "../../player/markers";
import { formatClock, formatDuration } from "../../ui/format";
import { Button } from "../../ui/parts";
import type { Replay } from "./replay";

export function GapNotice({ gap }: { gap: Gap }) {
  return (
    <div class="no-picture gap" role="status">
      <p>
        <strong>
          Nothing was recorded from {formatClock(gap.from_ms)} to {formatClock(gap.until_ms)}
        </strong>{" "}
        ({formatDuration(gap.until_ms - gap.from_ms)})
      </p>
      <p>Reason: {reasonOf(gap)}</p>
    </div>
  );
}

/** Nothing runs at this time: no agent recorded, so there is no gap either. */
export function NothingNotice({ replay, at }: { replay: Replay; at: number }) {
  const spans = replay.timeline.spans;
  const before = spans.filter((one) => one.until_ms <= at).reduce((latest, one) => Math.max(latest, one.until_ms), 0);
  const after = spans.filter((one) => one.from_ms > at).reduce((least, one) => Math.min(least, one.from_ms), Infinity);
  return (
    <div class="no-picture">
      <p>
        <strong>No screen was recorded at this time</strong>
      </p>
      <p class="row middle">
        {before > 0 && (
          <Button small onClick={() => replay.seek(before - 1000)}>
            Back to {formatClock(before)}
          </Button>
        )}
        {after < Infinity && (
          <Button small onClick={() => replay.seek(after)}>
            On to {formatClock(after)}
          </Button>
        )}
      </p>
    </div>
  );
}
