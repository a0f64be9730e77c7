/** People, and their days. Never shows as nought what is not known of a day. */

import { getJson } from "../../api/client";
import { Link } from "../../app/router";
import { formatMinute, formatNumber } from "../../ui/format";
import { Button, Loading, Table, Trouble, type Column } from "../../ui/parts";
import { useState } from "preact/hooks";
import { useLoad } from "../../ui/useLoad";
import { applicationName, formatHours, formatShare, type DayRow, type PersonRow, type Rows } from "./answers";
import { NoActivity } from "./Overview";
import { asked, scopeLink, type Scope } from "./scope";

const PAGE = 50;

function usePages<Row>(scope: Scope, path: string) {
  const [page, setPage] = useState({ key: "", number: 0 });
  const key = [scope.since, scope.until, scope.persons.join(), scope.teams.join()].join("|");
  const number = page.key === key ? page.number : 0;
  const loaded = useLoad((signal) => getJson<Rows<Row>>(path, { ...asked(scope), limit: PAGE, offset: number * PAGE }, signal), [key, number]);
  return { ...loaded, number, turn: (by: number) => setPage({ key, number: Math.max(0, number + by) }) };
}

const PEOPLE: readonly Column<PersonRow>[] = [
  {
    title: "Person",
    show: (row) => <Link href={scopeLink({ view: "days", persons: [row.person] })}><bdi>{row.person || "unknown"}</bdi></Link>,
  },
  { title: "Days", number: true, show: (row) => row.days },
  { title: "Active", number: true, show: (row) => formatHours(row.active_ms) },
  { title: "Idle", number: true, show: (row) => formatHours(row.idle_ms) },
  { title: "Active a day", number: true, show: (row) => formatHours(row.active_ms / Math.max(1, row.days)) },
  { title: "Overtime", number: true, show: (row) => formatHours(row.overtime_ms) },
  { title: "Longest focus", number: true, show: (row) => formatHours(row.longest_ms) },
  { title: "In focus", number: true, show: (row) => (row.deep_ms === undefined ? "–" : formatShare(row.deep_ms, row.active_ms)) },
  { title: "Switches an hour", number: true, show: (row) => perHour(row) },
  { title: "Most used", show: (row) => `${applicationName(row.top_application)} (${formatShare(row.top_ms, row.active_ms)})` },
];

const perHour = (row: { switches: number; active_ms: number }) =>
  row.active_ms > 0 ? formatNumber((row.switches * 3_600_000) / row.active_ms) : "–";

export function PeopleView({ scope }: { scope: Scope }) {
  const pages = usePages<PersonRow>(scope, "/reports/people");
  return <Paged pages={pages} label="People" columns={PEOPLE} id={(row) => row.person} note={NOTE} />;
}

const DAYS: readonly Column<DayRow>[] = [
  {
    title: "Day",
    keep: true,
    show: (row) => <Link href={scopeLink({ view: "day", persons: [row.person], day: row.day })}>{row.day}</Link>,
  },
  { title: "Person", show: (row) => <bdi>{row.person || "unknown"}</bdi> },
  { title: "First", number: true, show: (row) => (row.first_at_ms === undefined ? "–" : formatMinute(row.first_at_ms)) },
  { title: "Last", number: true, show: (row) => (row.last_at_ms === undefined ? "–" : formatMinute(row.last_at_ms)) },
  { title: "Active", number: true, show: (row) => formatHours(row.active_ms) },
  { title: "Idle", number: true, show: (row) => formatHours(row.idle_ms) },
  { title: "Overtime", number: true, show: (row) => formatHours(row.overtime_ms) },
  { title: "Longest focus", number: true, show: (row) => formatHours(row.longest_ms) },
  { title: "Switches an hour", number: true, show: (row) => perHour(row) },
  { title: "Most used", show: (row) => `${applicationName(row.top_application)} (${formatShare(row.top_ms, row.active_ms)})` },
];

export function DaysView({ scope }: { scope: Scope }) {
  const pages = usePages<DayRow>(scope, "/reports/days");
  return <Paged pages={pages} label="Days" columns={DAYS} id={(row) => `${row.person} ${row.day}`} note={`${NOTE} First and last are of this browser's clock.`} />;
}

const NOTE =
  "Hours and minutes. Focus is activity without a pause of a minute; in focus are stretches of at least 25 minutes; overtime is outside the working hours of the person's team.";

function Paged<Row>(props: {
  pages: ReturnType<typeof usePages<Row>>;
  label: string;
  columns: readonly Column<Row>[];
  id: (row: Row) => string;
  note: string;
}) {
  const { data, error, loading, again, number, turn } = props.pages;
  if (error) return <Trouble error={error} again={again} />;
  if (!data) return <Loading />;
  if (!data.rows.length && !number) return <NoActivity />;
  return (
    <div class="stack">
      <div class="card flush report-wide" aria-busy={loading}>
        <Table label={props.label} columns={props.columns} rows={data.rows} id={props.id} />
      </div>
      {(data.more || number > 0) && (
        <nav class="row middle" aria-label="Pages">
          <Button disabled={!number} onClick={() => turn(-1)}>
            Before
          </Button>
          <span class="quiet">Page {number + 1}</span>
          <Button disabled={!data.more} onClick={() => turn(1)}>
            Next
          </Button>
        </nav>
      )}
      <p class="quiet">{props.note}</p>
    </div>
  );
}
