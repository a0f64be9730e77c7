/** One alert: what it says, the way to the recording, and what was said of it. */

import { useState } from "preact/hooks";
import { getJson, postJson } from "../../api/client";
import { Link } from "../../app/router";
import { may } from "../../app/session";
import { Badge, Button, Field, Loading, Time, Trouble, toast } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { playerLink } from "../reports/scope";
import { Fragment } from "../rules/Fragment";
import { describe, toneOf, type Alert, type AlertDetail, type State } from "./answers";

export function AlertCard(props: { alert: Alert; opened: boolean; toggle: () => void; changed: () => void }) {
  const { alert } = props;
  const tone = toneOf(alert.severity);
  return (
    <article class="card alert-card" aria-label={`${alert.rule}, ${alert.person}`}>
      <div class="alert-head">
        <Badge tone={tone}>{alert.severity || "low"}</Badge>
        <strong class="alert-rule">{alert.rule}</strong>
        <Time ms={alert.time_ms} />
      </div>
      <p class="alert-what">
        <strong>{alert.person || "unknown"}</strong> <span class="quiet">on {alert.computer || "an endpoint"}</span> {describe(alert)}
      </p>
      {alert.state !== "open" && (
        <p class="quiet">
          {alert.state} by {alert.state_by} {alert.state_at_ms !== null && <Time ms={alert.state_at_ms} age />}
          {alert.note && `: ${alert.note}`}
        </p>
      )}
      <div class="row middle">
        {may("recordings") && alert.person && (
          <Link class="button small" href={playerLink(alert.person, alert.time_ms)} aria-label={`Watch: ${alert.rule}, ${alert.person}`}>
            Watch
          </Link>
        )}
        <Button small aria-expanded={props.opened} onClick={props.toggle}>
          {props.opened ? "Less" : "Details"}
        </Button>
        {alert.state === "open" && <Settle alert={alert} to="seen" changed={props.changed} />}
      </div>
      {props.opened && <Detail alert={alert} changed={props.changed} />}
    </article>
  );
}

async function settle(alert: Alert, state: State, note: string): Promise<void> {
  await postJson(`/alerts/${alert.alert_id}/state`, { state, note });
}

function Settle(props: { alert: Alert; to: State; changed: () => void }) {
  const act = async () => {
    try {
      await settle(props.alert, props.to, props.alert.note);
      props.changed();
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
  };
  return (
    <Button small onClick={() => void act()}>
      Mark as seen
    </Button>
  );
}

function Detail(props: { alert: Alert; changed: () => void }) {
  const { alert } = props;
  const { data, error, again } = useLoad((signal) => getJson<AlertDetail>(`/alerts/${alert.alert_id}`, {}, signal), [alert.alert_id]);
  const [note, setNote] = useState(alert.note);
  const [problem, setProblem] = useState<unknown>();
  const act = async (state: State) => {
    setProblem(undefined);
    try {
      await settle(alert, state, note.trim());
      toast(state === "closed" ? "The alert is closed" : state === "open" ? "The alert is open again" : "The alert is marked as seen");
      props.changed();
    } catch (failure) {
      setProblem(failure);
    }
  };
  return (
    <div class="stack alert-detail">
      {error ? <Trouble error={error} again={again} /> : data ? <Text detail={data} /> : <Loading />}
      <Field label="Note" hint="Kept with the alert and in the audit.">
        {(ids) => <textarea {...ids} maxLength={2000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />}
      </Field>
      {Boolean(problem) && <Trouble error={problem} />}
      <div class="row">
        {alert.state !== "closed" && (
          <Button kind="primary" onClick={() => void act("closed")}>
            Close
          </Button>
        )}
        {alert.state !== "seen" && <Button onClick={() => void act("seen")}>Seen</Button>}
        {alert.state !== "open" && <Button onClick={() => void act("open")}>Open again</Button>}
        {may("rules") && (
          <Link class="button plain" href={`/rules?rule=${alert.rule_id}`}>
            The rule
          </Link>
        )}
      </div>
    </div>
  );
}

function Text({ detail }: { detail: AlertDetail }) {
  if (!detail.document_id) return <p class="quiet">This alert is about an amount, not about one text.</p>;
  if (!detail.fragment.length) return <p class="quiet">The text is no longer kept, or cannot be shown.</p>;
  return (
    <blockquote class="alert-text">
      {detail.title && <div class="quiet">{detail.title}</div>}
      <Fragment pieces={detail.fragment} />
    </blockquote>
  );
}
