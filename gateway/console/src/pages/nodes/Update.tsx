/** Rolling updates: which release for which nodes, and how far each is. Goes on at the server when this page is closed. */

import { useCallback, useState } from "preact/hooks";
import { getQuietly, useEvery } from "../../api/background";
import { deleteJson, postJson } from "../../api/client";
import { may } from "../../app/session";
import { Badge, Button, Empty, Field, Loading, Notice, Table, Time, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { NodeStep, UpdateAnswer, UpdateJob } from "./answers";

const STEPS: Record<string, string> = {
  waiting: "waits for its turn",
  drain: "draining",
  copy: "copying the release",
  install: "installing beside the old one",
  switch: "switching",
  restart: "restarting",
  check: "asking whether it is well",
  resume: "taking it back",
  done: "runs the new release",
  back: "has its old release back",
  failed: "needs a person",
};
const STEP_TONES: Record<string, "good" | "warn" | "bad" | undefined> = { done: "good", back: "warn", failed: "bad" };
const JOB_TONES = { running: undefined, done: "good", failed: "bad", cancelled: "warn", interrupted: "bad" } as const;

export function Update() {
  const loaded = useLoad((signal) => getQuietly<UpdateAnswer>("/nodes/update", {}, signal), []);
  const again = useCallback(() => loaded.again(), []);
  const [error, setError] = useState<unknown>();
  const running = loaded.data?.job?.state === "running";
  useEvery(1000, running, again);
  if (loaded.error !== undefined && !loaded.data) return <Trouble error={loaded.error} again={again} />;
  if (!loaded.data) return <Loading />;
  const { nodes, job } = loaded.data;
  const act = async (what: () => Promise<unknown>) => {
    setError(undefined);
    try {
      await what();
    } catch (problem) {
      setError(problem);
    }
    again();
  };
  if (!nodes.length) {
    return (
      <Empty title="No node is updated from here">
        <p>Nodes are added on this machine, where their host keys can be compared:</p>
        <pre>sealstream nodes add node-2 ssh://sealstream@10.0.0.7 --accept-host-key</pre>
      </Empty>
    );
  }
  return (
    <div class="stack">
      {error !== undefined && <Trouble error={error} />}
      {job && <RollOut job={job} stop={() => void act(() => deleteJson("/nodes/update"))} />}
      {may("manage_nodes") && !running && <Begin answer={loaded.data} begin={(body) => void act(() => postJson("/nodes/update", body))} />}
      <section aria-labelledby="children">
        <h2 id="children">Nodes that are updated from here</h2>
        <div class="card flush">
          <Table
            label="Nodes that are updated from here"
            rows={nodes}
            id={(node) => node.name}
            columns={[
              { title: "Node", show: (node) => node.name },
              { title: "Address", show: (node) => node.address },
              { title: "Pinned host key", show: (node) => <span class="print">{node.fingerprint || "none"}</span> },
            ]}
          />
        </div>
      </section>
    </div>
  );
}

function Begin(props: { answer: UpdateAnswer; begin: (body: unknown) => void }) {
  const { nodes, wheels, folder } = props.answer;
  const [chosen, setChosen] = useState<readonly string[]>(nodes.map((node) => node.name));
  const [wheel, setWheel] = useState(wheels[0]?.file ?? "");
  const [version, setVersion] = useState("");
  const [drain, setDrain] = useState(true);
  const [reason, setReason] = useState("");
  const flip = (name: string) => setChosen(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
  const submit = (event: Event) => {
    event.preventDefault();
    props.begin({ names: nodes.map((node) => node.name).filter((name) => chosen.includes(name)), drain, reason, ...(wheel ? { wheel } : { version }) });
  };
  return (
    <form class="card stack" onSubmit={submit}>
      <h2>Begin a roll-out</h2>
      <p class="quiet">
        One node at a time: drained, the release installed beside the old one, restarted, asked whether it is well. The first that is not
        gets its old release back, and the roll-out ends.
      </p>
      <div class="row">
        <Field label="Release" hint={wheels.length ? undefined! : `Put a wheel into ${folder} to choose it here`}>
          {(ids) => (
            <select {...ids} value={wheel} onChange={(event) => setWheel(event.currentTarget.value)}>
              {wheels.map((one) => (
                <option key={one.file} value={one.file}>
                  {one.version} ({one.sha256.slice(0, 12)})
                </option>
              ))}
              <option value="">a version of the nodes' package index</option>
            </select>
          )}
        </Field>
        {!wheel && (
          <Field label="Version">
            {(ids) => (
              <input
                {...ids}
                type="text"
                required
                pattern="[0-9A-Za-z.+!]+"
                value={version}
                onInput={(event) => setVersion(event.currentTarget.value)}
              />
            )}
          </Field>
        )}
        <Field label="Why (goes into the audit)" class="grow">
          {(ids) => <input {...ids} type="text" maxLength={500} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />}
        </Field>
      </div>
      <fieldset class="choices">
        <legend>Nodes</legend>
        {nodes.map((node) => (
          <label key={node.name}>
            <input type="checkbox" checked={chosen.includes(node.name)} onChange={() => flip(node.name)} />
            {node.name}
          </label>
        ))}
      </fieldset>
      <label>
        <input type="checkbox" checked={drain} onChange={() => setDrain(!drain)} />
        drain each before it is restarted
      </label>
      <div>
        <Button kind="primary" type="submit" disabled={!chosen.length}>
          Begin
        </Button>
      </div>
    </form>
  );
}

function RollOut(props: { job: UpdateJob; stop: () => void }) {
  const { job } = props;
  const rows = Object.entries(job.progress.nodes ?? {});
  const tone = JOB_TONES[job.state];
  return (
    <section class="card stack" aria-labelledby="roll-out">
      <div class="row middle spread">
        <h2 id="roll-out">Roll-out{job.progress.version ? ` of ${job.progress.version}` : ""}</h2>
        {job.state === "running" && may("manage_nodes") && <Button onClick={props.stop}>Stop after this node</Button>}
      </div>
      <p role="status">
        <Badge tone={tone}>{job.state}</Badge>{" "}
        <span class="quiet">
          by {job.by}, from {job.node}, <Time ms={job.ended_at_ms ?? job.started_at_ms} age />
        </span>
      </p>
      {job.message && job.state !== "done" && !rows.some(([, one]) => one.message) && <Notice tone="bad">{job.message}</Notice>}
      <ol class="rollout">
        {rows.map(([name, one]) => (
          <li key={name}>
            <strong>{name}</strong> <Step one={one} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Step(props: { one: NodeStep }) {
  const { one } = props;
  const tone = STEP_TONES[one.step];
  return (
    <>
      <Badge tone={tone}>{STEPS[one.step] ?? one.step}</Badge>
      {one.before && <span class="quiet"> ran {one.before} before</span>}
      {one.message && <div class="quiet">{one.message}</div>}
    </>
  );
}
