/** Active and idle time by day, and where it went. Never draws a day that was not recorded as one without activity. */

import { useMemo } from "preact/hooks";
import type uPlot from "uplot";
import { getJson } from "../../api/client";
import { theme } from "../../app/theme";
import { Link } from "../../app/router";
import { Chart, themeColour } from "../../ui/Chart";
import { formatNumber } from "../../ui/format";
import { Empty, Loading, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { applicationName, formatHours, formatShare, type ActivityReport, type ActivityRow } from "./answers";
import { stackedBars } from "./bars";
import { asked, daysOf, scopeLink, startOf, type Scope } from "./scope";

const keysOf = (scope: Scope) => [scope.since, scope.until, scope.persons.join(), scope.teams.join(), scope.application];

/** Activity added up by keys, loaded anew when the scope changes. */
export function useActivity(scope: Scope, by: readonly string[], limit = 1000) {
  return useLoad(
    (signal) => getJson<ActivityReport>("/reports/activity", { ...asked(scope), application: scope.application, by, limit }, signal),
    [...keysOf(scope), by.join(), limit],
  );
}

export function OverviewView({ scope }: { scope: Scope }) {
  const days = useActivity(scope, ["day"]);
  const applications = useActivity(scope, ["application"], 12);
  const teams = useActivity(scope, ["team"], 12);
  if (days.error) return <Trouble error={days.error} again={days.again} />;
  if (!days.data) return <Loading />;
  if (!days.data.rows.length) return <NoActivity />;
  return (
    <div class="stack" aria-busy={days.loading}>
      <Sums rows={days.data.rows} />
      <section class="card" aria-labelledby="by-day">
        <h2 id="by-day">Active and idle by day</h2>
        <DayChart scope={scope} rows={days.data.rows} />
      </section>
      <div class="grid halves">
        <section class="card" aria-labelledby="by-application">
          <h2 id="by-application">Applications</h2>
          <Shares rows={applications.data?.rows ?? []} name={(row) => applicationName(row.application)} />
          <Link href={scopeLink({ view: "applications" })}>All applications</Link>
        </section>
        {Boolean(teams.data?.rows.length) && (
          <section class="card" aria-labelledby="by-team">
            <h2 id="by-team">Teams</h2>
            <Shares rows={teams.data!.rows} name={(row) => row.team ?? ""} link={(row) => scopeLink({ teams: [row.team ?? ""], view: "people" })} />
          </section>
        )}
      </div>
    </div>
  );
}

export function NoActivity() {
  return (
    <Empty title="Nothing was recorded in this time">
      <p>Choose other days, or take a filter out. Activity appears here a few seconds after it was recorded.</p>
    </Empty>
  );
}

function Sums({ rows }: { rows: readonly ActivityRow[] }) {
  const active = rows.reduce((sum, row) => sum + row.active_ms, 0);
  const idle = rows.reduce((sum, row) => sum + row.idle_ms, 0);
  const personDays = rows.reduce((sum, row) => sum + row.people, 0);
  const facts = [
    ["Active", formatHours(active), "hours"],
    ["Idle", formatHours(idle), `hours, ${formatShare(idle, active + idle)} of the time`],
    ["Active a day", formatHours(personDays ? active / personDays : 0), "hours, of one person"],
    ["People on a day", formatNumber(Math.max(...rows.map((row) => row.people))), "at most"],
  ] as const;
  return (
    <dl class="report-sums">
      {facts.map(([name, value, unit]) => (
        <div key={name} class="card">
          <dt>{name}</dt>
          <dd>
            {value} <span class="quiet">{unit}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function DayChart(props: { scope: Scope; rows: readonly ActivityRow[] }) {
  const chosen = theme.value;
  const data = useMemo(() => {
    const found = new Map(props.rows.map((row) => [row.day, row]));
    const days = daysOf(props.scope);
    const hours = (ms: number | undefined) => (ms === undefined ? null : ms / 3_600_000);
    return [
      days.map((day) => startOf(day) / 1000),
      days.map((day) => hours(found.has(day) ? found.get(day)!.active_ms + found.get(day)!.idle_ms : undefined)),
      days.map((day) => hours(found.get(day)?.active_ms)),
    ] as uPlot.AlignedData;
  }, [props.rows, props.scope.since, props.scope.until]);
  const options = useMemo(
    () => stackedBars([["Idle", themeColour("line-strong")], ["Active", themeColour("accent")]], "h"),
    [chosen],
  );
  const total = props.rows.reduce((sum, row) => sum + row.active_ms, 0);
  return (
    <>
      <ul class="report-legend" aria-hidden="true">
        <li class="active">Active</li>
        <li>Idle</li>
      </ul>
      <Chart label={`Active and idle hours of ${props.rows.length} days; ${formatHours(total)} hours active in all`} height={220} options={options} data={data} />
      <details class="quiet">
        <summary>As a table</summary>
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Day</th>
              <th scope="col" class="number">Active</th>
              <th scope="col" class="number">Idle</th>
              <th scope="col" class="number">People</th>
            </tr>
          </thead>
          <tbody>
            {props.rows.map((row) => (
              <tr key={row.day}>
                <td>{row.day}</td>
                <td class="number">{formatHours(row.active_ms)}</td>
                <td class="number">{formatHours(row.idle_ms)}</td>
                <td class="number">{row.people}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}

/** Amounts as bars with their numbers. */
export function Shares(props: {
  rows: readonly ActivityRow[];
  name: (row: ActivityRow) => string;
  link?: (row: ActivityRow) => string;
}) {
  const most = Math.max(1, ...props.rows.map((row) => row.active_ms));
  if (!props.rows.length) return <p class="quiet">None.</p>;
  return (
    <ul class="report-shares">
      {props.rows.map((row) => (
        <li key={props.name(row)}>
          <span class="name">{props.link ? <Link href={props.link(row)}>{props.name(row)}</Link> : props.name(row)}</span>
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${(100 * row.active_ms) / most}%` }} />
          </span>
          <span class="number">{formatHours(row.active_ms)}</span>
        </li>
      ))}
    </ul>
  );
}

export function ApplicationsView({ scope }: { scope: Scope }) {
  const { data, error, again } = useActivity(scope, ["application"], 500);
  if (error) return <Trouble error={error} again={again} />;
  if (!data) return <Loading />;
  if (!data.rows.length) return <NoActivity />;
  const total = data.rows.reduce((sum, row) => sum + row.active_ms, 0);
  return (
    <div class="card flush">
      <table class="list folds" aria-label="Applications">
        <thead>
          <tr>
            {["Application", "Active", "Share", "Idle", "Switches to it", "People"].map((title, at) => (
              <th key={title} scope="col" class={at ? "number" : ""}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {data.rows.map((row) => (
            <tr key={row.application}>
              <td data-label="Application">{applicationName(row.application)}</td>
              <td data-label="Active" class="number">{formatHours(row.active_ms)}</td>
              <td data-label="Share" class="number">{formatShare(row.active_ms, total)}</td>
              <td data-label="Idle" class="number">{formatHours(row.idle_ms)}</td>
              <td data-label="Switches to it" class="number">{formatNumber(row.switches)}</td>
              <td data-label="People" class="number">{formatNumber(row.people)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {data.more && <p class="quiet report-more">The 500 with most activity. The CSV has up to 10,000.</p>}
    </div>
  );
}
