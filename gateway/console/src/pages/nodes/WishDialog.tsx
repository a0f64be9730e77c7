/** Draining a process, or taking it back, after saying what will happen. Never drains by one click. */

import { useState } from "preact/hooks";
import { postJson } from "../../api/client";
import { Button, Dialog, Field, Notice, Trouble, toast } from "../../ui/parts";
import type { Node } from "./answers";

export interface Wanted {
  node: Node;
  to: "serving" | "drained";
}

export function WishDialog(props: { wanted: Wanted; all: readonly Node[]; close: () => void; changed: () => void }) {
  const { node, to } = props.wanted;
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const drain = to === "drained";
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await postJson("/nodes/wishes", { ids: [node.id], wanted: to, reason });
      toast(drain ? `${node.id} drains within seconds.` : `${node.id} serves again within seconds.`);
      props.changed();
      props.close();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={drain ? `Drain ${node.id}?` : `Take ${node.id} back?`} close={props.close}>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <Consequences node={node} drain={drain} all={props.all} />
        <Field label="Why (goes into the audit)">
          {(ids) => <input {...ids} type="text" maxLength={500} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />}
        </Field>
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Leave it</Button>
          <Button kind="primary" type="submit" disabled={busy}>
            {drain ? "Drain it" : "Take it back"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Consequences(props: { node: Node; drain: boolean; all: readonly Node[] }) {
  const { node, drain, all } = props;
  const serves = (other: Node) => other.id !== node.id && other.state === "ready" && other.wish?.wanted !== "drained";
  const gateway = node.role === "gateway";
  const others = all.filter((other) => serves(other) && (gateway ? other.role === "gateway" : other.role.startsWith("streams-")));
  if (!drain) {
    return <p>{gateway ? "Agents may come to it again." : "It takes its share of the partitions again."}</p>;
  }
  return (
    <>
      {gateway ? (
        <p>
          What is under way is acknowledged; its {node.agents} {node.agents === 1 ? "agent is" : "agents are"} sent away. It goes on
          serving this console. It stays drained, also when it is restarted, until it is taken back.
        </p>
      ) : (
        <p>It finishes what it has and hands its partitions to other workers. It stays there, idle, until it is taken back.</p>
      )}
      {others.length === 0 && (
        <Notice tone="warn">
          {gateway
            ? "No other gateway serves: agents go on recording into their encrypted spools, and deliver when there is a gateway again."
            : "No other worker runs: what comes waits in Kafka, and is mined later."}
        </Notice>
      )}
    </>
  );
}
