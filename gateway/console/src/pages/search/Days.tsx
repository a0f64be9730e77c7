/** How many results each day has; a click narrows the search to it. Never shown for a single day. */

import { formatDay, formatNumber } from "../../ui/format";
import type { Day } from "./answer";
import type { Asked } from "./asked";

export function Days(props: { days: readonly Day[]; change: (asked: Partial<Asked>) => void }) {
  const first = props.days.findIndex((day) => day.count);
  const days = first < 0 ? [] : props.days.slice(first);
  const most = Math.max(...days.map((day) => day.count));
  if (days.length < 2) return null;
  return (
    <div role="group" aria-label="Results by time">
      <div class="day-bars">
      {days.map(({ from_ms, until_ms, count }) => {
        const title = `${formatDay(from_ms)}: ${formatNumber(count)}`;
        const narrow = () => props.change({ when: "range", sinceMs: from_ms, untilMs: until_ms });
        return (
          <button key={from_ms} type="button" title={title} aria-label={title} disabled={!count} onClick={narrow}>
            <span style={{ height: `${count ? Math.max(8, (100 * count) / most) : 0}%` }} />
          </button>
        );
      })}
      </div>
      <div class="days-ends quiet" aria-hidden="true">
        <span>{formatDay(days[0]!.from_ms)}</span>
        <span>{formatDay(days.at(-1)!.from_ms)}</span>
      </div>
    </div>
  );
}
