/**
 * Reports: how time was spent, by day, person, application and hour; days of people down to the player.
 * Never shows a sum as if it were of more days or people than were asked for.
 */

import "./reports.css";
import { download, withQuery } from "../../api/client";
import { Button, PageHead, Tabs } from "../../ui/parts";
import { ApplicationsView, OverviewView } from "./Overview";
import { DaysView, PeopleView } from "./People";
import { DayView } from "./Day";
import { Filters } from "./Filters";
import { HoursView } from "./Heat";
import { asked, changeScope, currentScope, type Scope, type View } from "./scope";
import { WeekView } from "./Week";

const TABS: readonly (readonly [View, string])[] = [
  ["overview", "Overview"],
  ["people", "People"],
  ["days", "Days"],
  ["applications", "Applications"],
  ["hours", "Hours"],
  ["week", "Working hours"],
];

export default function Reports() {
  const scope = currentScope();
  return (
    <>
      <PageHead title="Reports">{scope.view !== "week" && scope.view !== "day" && <Files scope={scope} />}</PageHead>
      <div class="stack">
        <Tabs
          label="Reports"
          names={TABS}
          chosen={scope.view === "day" ? "days" : scope.view}
          choose={(view) => changeScope({ view })}
        />
        {scope.view !== "week" && scope.view !== "day" && <Filters scope={scope} />}
        <div role="tabpanel" aria-label={TABS.find(([view]) => view === scope.view)?.[1] ?? "Day"}>
          <Shown scope={scope} />
        </div>
      </div>
    </>
  );
}

function Shown({ scope }: { scope: Scope }) {
  switch (scope.view) {
    case "overview":
      return <OverviewView scope={scope} />;
    case "people":
      return <PeopleView scope={scope} />;
    case "applications":
      return <ApplicationsView scope={scope} />;
    case "days":
      return <DaysView scope={scope} />;
    case "hours":
      return <HoursView scope={scope} />;
    case "day":
      return <DayView scope={scope} />;
    case "week":
      return <WeekView />;
  }
}

/** The report of the view as files. */
function Files({ scope }: { scope: Scope }) {
  const fetchAs = (format: string) => {
    const name = `${scope.view}-${scope.since}-${scope.until}.${format}`;
    const query = { ...asked(scope), application: scope.application, limit: 10_000, format };
    const days = { ...asked(scope), limit: 1000, format };
    const path = {
      overview: () => withQuery("/reports/activity", { ...query, by: ["day"] }),
      applications: () => withQuery("/reports/activity", { ...query, by: ["application"] }),
      hours: () => withQuery("/reports/activity", { ...query, by: ["weekday", "hour_of_day"] }),
      people: () => withQuery("/reports/people", days),
      days: () => withQuery("/reports/days", days),
    }[scope.view as "overview"];
    download(path(), name);
  };
  return (
    <>
      <Button onClick={() => fetchAs("csv")}>CSV</Button>
      <Button onClick={() => fetchAs("parquet")}>Parquet</Button>
    </>
  );
}
