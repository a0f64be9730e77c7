/** Stopping or starting a component: what that means, why it is done, and then the wish. */

import { useState } from "preact/hooks";
import { postJson } from "../../api/client";
import { Button, Dialog, Field, Notice, toast, Trouble } from "../../ui/parts";
import type { ComponentRow } from "./answers";

export function ComponentDialog(props: {
  component: ComponentRow;
  others: readonly ComponentRow[];
  close: () => void;
  done: () => void;
}) {
  const { component } = props;
  const stops = component.wanted === "running";
  const [purpose, setPurpose] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await postJson(`/processors/components/${component.node_id}/${component.component}`, {
        wanted: stops ? "stopped" : "running",
        purpose: purpose.trim(),
      });
      toast(`${component.component} on ${component.node_id} is ${stops ? "stopping" : "starting"}.`);
      props.done();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={`${stops ? "Stop" : "Start"} ${component.component} on ${component.node_id}`} close={props.close}>
      <form onSubmit={(event) => void submit(event)}>
        {stops ? <Stopping {...props} /> : <Starting />}
        <Field label="Why" hint="Goes into the audit.">
          {(ids) => (
            <input {...ids} type="text" maxLength={500} value={purpose} onInput={(event) => setPurpose(event.currentTarget.value)} />
          )}
        </Field>
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Leave as it is</Button>
          <Button kind={stops ? "danger" : "primary"} type="submit" disabled={busy}>
            {stops ? "Stop it" : "Start it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Stopping(props: { component: ComponentRow; others: readonly ComponentRow[] }) {
  const { component } = props;
  const kind = component.component.replace(/\d+$/, "");
  const left = props.others.filter(
    (one) => one !== component && one.component.startsWith(kind) && one.wanted === "running" && one.phase === "ready" && !one.stale,
  ).length;
  return (
    <>
      <p>{component.stop_says}</p>
      {left === 0 && (
        <Notice tone="warn">
          {kind.startsWith("streams") ? "This is the last worker that runs." : "No other node runs this sink."}
        </Notice>
      )}
      <p class="quiet">It stays stopped, also when the stack is started anew, until somebody starts it.</p>
    </>
  );
}

function Starting() {
  return <p>It goes on where it stopped. What waited in Kafka is worked off as fast as it can.</p>;
}
