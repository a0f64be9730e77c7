/** Activity by weekday and hour of the day, as a table whose cells are the darker the more there was. */

import { Loading, Trouble } from "../../ui/parts";
import { formatHours, WEEKDAYS } from "./answers";
import { NoActivity, useActivity } from "./Overview";
import type { Scope } from "./scope";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

export function HoursView({ scope }: { scope: Scope }) {
  const { data, error, again } = useActivity(scope, ["weekday", "hour_of_day"]);
  if (error) return <Trouble error={error} again={again} />;
  if (!data) return <Loading />;
  if (!data.rows.length) return <NoActivity />;
  const cells = new Map(data.rows.map((row) => [`${row.weekday} ${row.hour_of_day}`, row.active_ms]));
  const most = Math.max(1, ...cells.values());
  return (
    <section class="card" aria-label="Activity by weekday and hour">
      <p class="quiet">Active hours by weekday and hour of the day, in the time zone of each person's team.</p>
      <div class="report-scroll" tabIndex={0} role="group" aria-label="Table of hours, scrolls sideways">
        <table class="report-heat" aria-label="Active hours">
          <thead>
            <tr>
              <td />
              {HOURS.map((hour) => (
                <th key={hour} scope="col">
                  {hour}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {WEEKDAYS.map((name, at) => (
              <tr key={name}>
                <th scope="row">
                  <abbr title={name}>{name.slice(0, 2)}</abbr>
                </th>
                {HOURS.map((hour) => (
                  <Cell key={hour} ms={cells.get(`${at + 1} ${hour}`)} most={most} title={`${name}, ${hour} to ${hour + 1}`} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Cell(props: { ms: number | undefined; most: number; title: string }) {
  if (!props.ms) return <td title={`${props.title}: none`} />;
  const share = props.ms / props.most;
  return (
    <td
      title={`${props.title}: ${formatHours(props.ms)} hours active`}
      style={{ background: `color-mix(in srgb, var(--accent) ${Math.round(5 + 45 * share)}%, var(--surface))` }}
    >
      {shown(props.ms)}
    </td>
  );
}

/** Short enough for a cell: hours from 10 on, else with a decimal; minutes below half an hour. */
function shown(ms: number): string {
  const hours = ms / 3_600_000;
  if (hours >= 9.95) return String(Math.round(hours));
  if (hours >= 0.5) return hours.toFixed(1);
  return `${Math.max(1, Math.round(hours * 60))}′`;
}
