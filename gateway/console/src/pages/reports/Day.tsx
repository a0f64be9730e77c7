/** One day of a person: when they were active, at what, and from there to the recording. */

import { getJson } from "../../api/client";
import { Link } from "../../app/router";
import { may } from "../../app/session";
import { formatMinute } from "../../ui/format";
import { Empty, Loading, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { applicationName, formatHours, type OneDay } from "./answers";
import { playerLink, scopeLink, shifted, type Scope } from "./scope";

const HOUR_MS = 3_600_000;

export function DayView({ scope }: { scope: Scope }) {
  const person = scope.persons[0] ?? "";
  const { data, error, again } = useLoad(
    (signal) => getJson<OneDay>("/reports/day", { person, day: scope.day }, signal),
    [person, scope.day],
  );
  if (!person) return <Empty title="Whose day?">Choose a person under People or Days.</Empty>;
  return (
    <div class="stack">
      <div class="row middle spread">
        <h2>
          <bdi>{person}</bdi>, {scope.day}
        </h2>
        <nav class="row" aria-label="Days">
          <Link class="button small" href={scopeLink({ view: "day", day: shifted(scope.day, -1) })}>
            Day before
          </Link>
          <Link class="button small" href={scopeLink({ view: "day", day: shifted(scope.day, 1) })}>
            Day after
          </Link>
          <Link class="button small" href={scopeLink({ view: "days", persons: [person] })}>
            All days
          </Link>
        </nav>
      </div>
      {error ? <Trouble error={error} again={again} /> : data ? <Shown day={data} /> : <Loading />}
    </div>
  );
}

function Shown({ day }: { day: OneDay }) {
  if (!day.hours.length) return <Empty title="Nothing was recorded on this day" />;
  const hours = byHour(day);
  const first = hours[0]!.at;
  const last = Math.max(hours.at(-1)!.at + HOUR_MS, ...day.stretches.map((one) => one.until_ms));
  return (
    <>
      <section class="card" aria-labelledby="stretches">
        <h3 id="stretches">When</h3>
        <Strip day={day} first={first} last={last} />
        <details>
          <summary>
            {day.stretches.length} {day.stretches.length === 1 ? "stretch" : "stretches"} of activity
          </summary>
          <ol class="report-stretches">
            {day.stretches.map((one) => (
              <li key={one.from_ms}>
                {formatMinute(one.from_ms)} to {formatMinute(one.until_ms)}, {formatHours(one.until_ms - one.from_ms)} <Watch person={day.person} at={one.from_ms} />
              </li>
            ))}
          </ol>
        </details>
      </section>
      <section class="card flush" aria-label="Hour by hour">
        <table class="list folds" aria-label="Hour by hour">
          <thead>
            <tr>
              <th scope="col">Hour</th>
              <th scope="col" class="number">Active</th>
              <th scope="col" class="number">Idle</th>
              <th scope="col">Applications</th>
              <th scope="col">Recording</th>
            </tr>
          </thead>
          <tbody>
            {hours.map((hour) => (
              <tr key={hour.at}>
                <td data-label="Hour">{formatMinute(hour.at)}</td>
                <td data-label="Active" class="number">{formatHours(hour.active)}</td>
                <td data-label="Idle" class="number">{formatHours(hour.idle)}</td>
                <td data-label="Applications">
                  {hour.applications.map((one) => `${applicationName(one.application)} ${formatHours(one.active_ms)}`).join(", ")}
                </td>
                <td data-label="Recording">
                  <Watch person={day.person} at={hour.from} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

/** A link to the player, for who may watch. */
export function Watch(props: { person: string; at: number }) {
  if (!may("recordings")) return null;
  return (
    <Link href={playerLink(props.person, props.at)} aria-label={`Watch ${props.person} at ${formatMinute(props.at)}`}>
      Watch
    </Link>
  );
}

function byHour(day: OneDay) {
  const hours = new Map<number, OneDay["hours"]>();
  for (const row of day.hours) hours.set(row.hour_ms, [...(hours.get(row.hour_ms) ?? []), row]);
  return [...hours.entries()].map(([at, rows]) => {
    const stretch = day.stretches.find((one) => one.until_ms > at && one.from_ms < at + HOUR_MS);
    return {
      at,
      from: Math.max(at, stretch?.from_ms ?? at),
      active: rows.reduce((sum, row) => sum + row.active_ms, 0),
      idle: rows.reduce((sum, row) => sum + row.idle_ms, 0),
      applications: rows.filter((row) => row.active_ms >= 30_000 || rows.length === 1).slice(0, 6),
    };
  });
}

function Strip(props: { day: OneDay; first: number; last: number }) {
  const whole = props.last - props.first;
  const told = props.day.stretches.map((one) => `${formatMinute(one.from_ms)} to ${formatMinute(one.until_ms)}`).join(", ");
  return (
    <>
      <svg class="report-strip" viewBox="0 0 1000 24" preserveAspectRatio="none" role="img" aria-label={`Active ${told}`}>
        <rect width="1000" height="24" class="ground" />
        {props.day.stretches.map((one) => (
          <rect
            key={one.from_ms}
            class="active"
            x={(1000 * (one.from_ms - props.first)) / whole}
            width={Math.max(1.5, (1000 * (one.until_ms - one.from_ms)) / whole)}
            height="24"
          />
        ))}
      </svg>
      <div class="row spread quiet">
        <span>{formatMinute(props.first)}</span>
        <span>{formatMinute(props.last)}</span>
      </div>
    </>
  );
}
