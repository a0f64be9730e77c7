/**
 * Alerts: what rules found, the newest first; watched, noted and closed.
 * Never closes one by itself, and never shows the text that was found before somebody asks for it: that is audited.
 */

import "./alerts.css";
import { useEffect, useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { Link, query, setQuery } from "../../app/router";
import { may } from "../../app/session";
import { formatNumber } from "../../ui/format";
import { Button, Empty, Field, Loading, PageHead, Tabs, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { AlertCard } from "./AlertCard";
import type { Alert, Alerts as Answer, State } from "./answers";

const LOOK_MS = 10_000;
const PAGE = 50;

export default function Alerts() {
  const state = (query.value.get("state") ?? "open") as State | "all";
  const filter = {
    rule: query.value.getAll("rule"),
    person: query.value.getAll("person"),
    severity: query.value.getAll("severity"),
    state: state === "all" ? [] : [state],
  };
  const key = JSON.stringify(filter);
  const [count, setCount] = useState(PAGE);
  const found = useLoad((signal) => getJson<Answer>("/alerts", { ...filter, limit: Math.min(500, count) }, signal), [key, count]);
  const { again } = found;
  useEffect(() => setCount(PAGE), [key]);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && again(), LOOK_MS);
    return () => clearInterval(timer);
  }, [again]);
  const states = found.data?.states;
  return (
    <>
      <PageHead title="Alerts">{may("rules") && <Link class="button" href="/rules">Rules</Link>}</PageHead>
      <div class="stack">
        <Tabs
          label="State of alerts"
          names={[
            ["open", `Open${counted(states?.open)}`],
            ["seen", `Seen${counted(states?.seen)}`],
            ["closed", `Closed${counted(states?.closed)}`],
            ["all", "All"],
          ]}
          chosen={state}
          choose={(name) => setQuery({ state: name === "open" ? "" : name }, false)}
        />
        <AlertFilters />
        <div role="tabpanel" aria-label="Alerts" aria-busy={found.loading}>
          {found.error && !found.data ? <Trouble error={found.error} again={again} /> : found.data ? <List answer={found.data} changed={again} more={() => setCount(count + PAGE)} filtered={key.length > '{"rule":[],"person":[],"severity":[],"state":["closed"]}'.length} /> : <Loading />}
        </div>
      </div>
    </>
  );
}

const counted = (count: number | undefined) => (count === undefined ? "" : ` (${formatNumber(count)})`);

function List(props: { answer: Answer; changed: () => void; more: () => void; filtered: boolean }) {
  const { alerts, next } = props.answer;
  const [opened, setOpened] = useState("");
  if (!alerts.length) return <None filtered={props.filtered} />;
  return (
    <>
      <ul class="alert-list">
        {alerts.map((alert: Alert) => (
          <li key={alert.alert_id}>
            <AlertCard
              alert={alert}
              opened={opened === alert.alert_id}
              toggle={() => setOpened(opened === alert.alert_id ? "" : alert.alert_id)}
              changed={props.changed}
            />
          </li>
        ))}
      </ul>
      {next && alerts.length < 500 && <Button onClick={props.more}>More</Button>}
      {next && alerts.length >= 500 && <p class="quiet">The newest 500. Narrow the filter to see others.</p>}
    </>
  );
}

function None({ filtered }: { filtered: boolean }) {
  return (
    <Empty title="No alerts here">
      {filtered ? (
        <Button onClick={() => setQuery({ rule: "", person: "", severity: "" })}>Take the filters out</Button>
      ) : (
        <>
          <p>Rules raise alerts as documents and activity come in.</p>
          {may("rules") && (
            <Link class="button" href="/rules?rule=new">
              Make a rule
            </Link>
          )}
        </>
      )}
    </Empty>
  );
}

function AlertFilters() {
  const rules = useLoad((signal) => getJson<{ rule_id: string; name: string }[]>("/alerts/rules", {}, signal), []);
  const value = (name: string) => query.value.get(name) ?? "";
  const [person, setPerson] = useState(value("person"));
  useEffect(() => setPerson(value("person")), [value("person")]);
  return (
    <section class="row" aria-label="Filters">
      <Field label="Rule">
        {(ids) => (
          <select {...ids} value={value("rule")} onChange={(event) => setQuery({ rule: event.currentTarget.value })}>
            <option value="">All</option>
            {(rules.data ?? []).map((one) => (
              <option key={one.rule_id} value={one.rule_id}>
                {one.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Severity">
        {(ids) => (
          <select {...ids} value={value("severity")} onChange={(event) => setQuery({ severity: event.currentTarget.value })}>
            <option value="">All</option>
            <option value="high">High</option>
            <option value="medium">Medium</option>
            <option value="low">Low</option>
          </select>
        )}
      </Field>
      <Field label="Person">
        {(ids) => (
          <input
            {...ids}
            type="text"
            placeholder="All"
            value={person}
            onInput={(event) => setPerson(event.currentTarget.value)}
            onChange={() => setQuery({ person: person.trim() })}
            onKeyDown={(event) => event.key === "Enter" && setQuery({ person: person.trim() })}
          />
        )}
      </Field>
    </section>
  );
}
