/**
 * Rules of alerts: the list, and the editor that shows what a rule would have matched.
 * Never puts a rule in force that was not saved.
 */

import "./rules.css";
import { getJson } from "../../api/client";
import { Link, query } from "../../app/router";
import { session } from "../../app/session";
import { Badge, Empty, Loading, PageHead, Time, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { toneOf } from "../alerts/answers";
import { draftOf, newDraft, summary, type Rule } from "./answers";
import { ConcernsLine } from "./Concerns";
import { Editor } from "./Editor";

export default function Rules() {
  const chosen = query.value.get("rule") ?? "";
  const rules = useLoad((signal) => getJson<Rule[]>("/rules", {}, signal), []);
  if (chosen === "new") return <Editor key="new" draft={newDraft(session.value ?? { all_teams: false, teams: [] })} saved={rules.again} />;
  if (chosen) return <One id={chosen} saved={rules.again} />;
  return (
    <>
      <PageHead title="Rules">
        <Link class="button" href="/alerts">
          Alerts
        </Link>
        <Link class="button primary" href="/rules?rule=new">
          New rule
        </Link>
      </PageHead>
      {rules.error ? <Trouble error={rules.error} again={rules.again} /> : rules.data ? <List rules={rules.data} /> : <Loading />}
    </>
  );
}

function One(props: { id: string; saved: () => void }) {
  const { data, error, again } = useLoad((signal) => getJson<Rule>(`/rules/${encodeURIComponent(props.id)}`, {}, signal), [props.id]);
  if (error) {
    return (
      <div class="stack">
        <PageHead title="Rule" />
        <Trouble error={error} again={again} />
        <Link href="/rules">All rules</Link>
      </div>
    );
  }
  if (!data) return <Loading />;
  const reload = () => {
    again();
    props.saved();
  };
  return <Editor key={`${data.rule_id} ${data.version}`} draft={draftOf(data, Boolean(session.value?.all_teams))} rule={data} saved={reload} />;
}

function List({ rules }: { rules: readonly Rule[] }) {
  if (!rules.length) {
    return (
      <Empty title="No rules yet">
        <p>A rule raises an alert when what was recorded meets its conditions: words, applications, people, times, amounts.</p>
        <Link class="button primary" href="/rules?rule=new">
          Make the first rule
        </Link>
      </Empty>
    );
  }
  return (
    <ul class="rule-list">
      {rules.map((rule) => {
        const tone = toneOf(rule.severity);
        return (
          <li key={rule.rule_id} class="card">
            <div class="row middle spread">
              <Link href={`/rules?rule=${rule.rule_id}`} class="rule-name">
                {rule.name}
              </Link>
              <span class="row middle">
                <Badge tone={tone}>{rule.severity}</Badge>
                {!rule.enabled && <Badge>off</Badge>}
              </span>
            </div>
            <p>{summary(rule.conditions)}</p>
            <p class="quiet">
              {rule.open_alerts > 0 ? (
                <Link href={`/alerts?rule=${rule.rule_id}`}>
                  {rule.open_alerts} open {rule.open_alerts === 1 ? "alert" : "alerts"}
                </Link>
              ) : (
                "no open alert"
              )}
              {rule.last_alert_ms !== null && (
                <>
                  , last <Time ms={rule.last_alert_ms} age />
                </>
              )}
              ; changed by {rule.changed_by} <Time ms={rule.changed_at_ms} age />; <ConcernsLine rule={rule} />
            </p>
          </li>
        );
      })}
    </ul>
  );
}
