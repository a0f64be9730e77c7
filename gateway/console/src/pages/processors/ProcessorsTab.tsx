/** What each processor and sink does and how far it is, and the components that run them, to be stopped and started. */

import { useState } from "preact/hooks";
import { getQuietly, useEvery } from "../../api/background";
import { may } from "../../app/session";
import { formatNumber } from "../../ui/format";
import { Badge, Button, Loading, Notice, Table, Time, Trouble, type Column } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { Sparkline } from "../overview/Sparkline";
import { rate } from "../overview/Tiles";
import type { ComponentRow, Processor, ProcessorsAnswer } from "./answers";
import { ComponentDialog } from "./ComponentDialog";

const STATES: Record<Processor["state"], readonly [string, "good" | "warn" | "bad" | undefined]> = {
  running: ["running", "good"],
  partly: ["partly held", "warn"],
  stopped: ["stopped", "warn"],
  away: ["nobody reads", "bad"],
  idle: ["idle", undefined],
};

export function ProcessorsTab() {
  const answer = useLoad((signal) => getQuietly<ProcessorsAnswer>("/processors", {}, signal), []);
  useEvery(2000, true, answer.again);
  const [about, setAbout] = useState<ComponentRow>();
  const { data } = answer;
  if (!data) return answer.error ? <Trouble error={answer.error} again={answer.again} /> : <Loading what="Measuring" />;
  return (
    <>
      {answer.error !== undefined && (
        <Notice tone="warn" role="status">
          What is shown is of <Time ms={data.measured_ms} />: the server does not answer now.
        </Notice>
      )}
      {data.away.map((one) => (
        <Notice key={one.store} tone="warn" role="status">
          {one.store} cannot be asked: {one.fault}
        </Notice>
      ))}
      <div class="processor-cards">
        {data.processors.map((one) => (
          <ProcessorCard key={one.group} processor={one} />
        ))}
      </div>
      <section class="card" aria-labelledby="components">
        <h2 id="components">Workers and sinks</h2>
        <p class="quiet">A worker runs mining, activity, gaps and alerts for the partitions that it holds; a sink fills one store.</p>
        <Components rows={[...data.components].sort((a, b) => Number(b.stoppable) - Number(a.stoppable))} choose={setAbout} />
      </section>
      {about && (
        <ComponentDialog
          component={about}
          others={data.components}
          close={() => setAbout(undefined)}
          done={() => {
            setAbout(undefined);
            answer.again();
          }}
        />
      )}
    </>
  );
}

function ProcessorCard(props: { processor: Processor }) {
  const { processor } = props;
  const [word, tone] = STATES[processor.state];
  return (
    <article class="card processor" aria-label={processor.name}>
      <div class="row middle spread">
        <h2>{processor.name}</h2>
        <Badge tone={tone}>{word}</Badge>
      </div>
      <p class="quiet">{processor.what}</p>
      <dl class="numbers">
        <div>
          <dt>Behind</dt>
          <dd>{formatNumber(processor.lag)}</dd>
        </div>
        <div>
          <dt>Records/s</dt>
          <dd>{rate(processor.per_s)}</dd>
        </div>
        <div>
          <dt>Partitions</dt>
          <dd>
            {processor.held} of {processor.partitions}
          </dd>
        </div>
        <div>
          <dt>Readers</dt>
          <dd>{processor.readers.length}</dd>
        </div>
      </dl>
      {processor.history.length > 1 && (
        <Sparkline label={`${processor.name}: records behind, the last minutes`} values={processor.history} height={28} />
      )}
      <details>
        <summary>Topics and readers</summary>
        <ul class="plain">
          {processor.topics.map((one) => (
            <li key={one.topic}>
              <code>{one.topic}</code> {one.partitions} partitions, {formatNumber(one.lag)} behind
            </li>
          ))}
          {processor.readers.map((one) => (
            <li key={`${one.client} ${one.host}`}>
              {one.client} from {one.host} holds {one.partitions}
            </li>
          ))}
        </ul>
      </details>
    </article>
  );
}

function Components(props: { rows: readonly ComponentRow[]; choose: (row: ComponentRow) => void }) {
  const columns: Column<ComponentRow>[] = [
    { title: "Component", show: (row) => <strong>{row.component}</strong> },
    { title: "Node", show: (row) => row.node_id },
    { title: "State", show: (row) => <ComponentState row={row} /> },
    { title: "Since", show: (row) => <Time ms={row.since_ms} age /> },
    { title: "Restarts", number: true, show: (row) => formatNumber(row.restarts) },
  ];
  if (may("manage_processors")) {
    columns.push({
      title: "Change",
      show: (row) =>
        row.stoppable && (
          <Button small onClick={() => props.choose(row)} aria-label={`${verb(row)} ${row.component} on ${row.node_id}`}>
            {verb(row)}
          </Button>
        ),
    });
  }
  if (!props.rows.length) return <p class="quiet">No supervisor has told of its components yet.</p>;
  return <Table label="Components" columns={columns} rows={props.rows} id={(row) => `${row.node_id}/${row.component}`} />;
}

const verb = (row: ComponentRow) => (row.wanted === "stopped" ? "Start" : "Stop");

function ComponentState(props: { row: ComponentRow }) {
  const { row } = props;
  if (row.stale) return <Badge tone="bad">not heard of since {new Date(row.told_ms).toLocaleTimeString()}</Badge>;
  if (row.wanted === "stopped" && row.phase !== "stopped") return <Badge tone="warn">stopping, wished by {row.wished_by}</Badge>;
  if (row.wanted === "stopped") return <Badge tone="warn">stopped by {row.wished_by}</Badge>;
  if (row.phase === "ready" && !row.detail) return <Badge tone="good">running</Badge>;
  const tone = ["failed", "restarting"].includes(row.phase) ? "bad" : "warn";
  return (
    <>
      <Badge tone={tone}>{row.phase}</Badge> {row.detail}
    </>
  );
}
