/** One's own sums of the last two weeks, as reports have them. */

import { formatDay, formatDuration } from "../../ui/format";
import type { OwnTold } from "./model";

export function Totals({ own }: { own: OwnTold }) {
  const most = Math.max(1, ...own.days.map((one) => one.active_ms + one.idle_ms));
  const mostUsed = Math.max(1, ...own.applications.map((one) => one.active_ms));
  if (!own.days.length) return null;
  return (
    <div class="grid">
      <section class="card">
        <h2>Your days</h2>
        <ul class="plain sums">
          {own.days.map((one) => (
            <li key={one.day}>
              <span>{formatDay(Date.parse(one.day))}</span>
              <span class="bar" aria-hidden="true">
                <span style={{ width: `${(100 * one.active_ms) / most}%` }} />
              </span>
              <span class="quiet">
                {formatDuration(one.active_ms)} active, {formatDuration(one.idle_ms)} idle
              </span>
            </li>
          ))}
        </ul>
      </section>
      <section class="card">
        <h2>Your applications</h2>
        <ul class="plain sums">
          {own.applications.map((one) => (
            <li key={one.application}>
              <span>{one.application || "unknown"}</span>
              <span class="bar" aria-hidden="true">
                <span style={{ width: `${(100 * one.active_ms) / mostUsed}%` }} />
              </span>
              <span class="quiet">{formatDuration(one.active_ms)}</span>
            </li>
          ))}
        </ul>
      </section>
    </div>
  );
}
