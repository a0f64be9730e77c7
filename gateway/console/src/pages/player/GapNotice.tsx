/** What says that nothing was recorded, from when to when and why. Never shows an older picture instead. */

import type { Gap } from "../../player/answers";
import { reasonOf } from "../../player/markers";
import { formatClock, formatDuration } from "../../ui/format";

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
