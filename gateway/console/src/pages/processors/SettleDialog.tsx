/** Trying dead letters again or giving them up: what that means, why, and then it is done. */

import { useState } from "preact/hooks";
import { postJson } from "../../api/client";
import { Button, Dialog, Field, toast, Trouble } from "../../ui/parts";

const WORDS = {
  retry: {
    title: "Try again",
    says: "The record is published to its topic again, for everyone who reads it. Who had processed it before knows it by its identity and changes nothing. What fails again becomes a dead letter again; a piece of a screen recording that builds on what came before it does: replay its time instead.",
    button: "Try again",
    done: "published again",
  },
  discard: {
    title: "Give up",
    says: "It is no longer listed as open, and nobody processes it. The audit keeps who did this and why. The record itself stays where it is for as long as Kafka and the archive keep it.",
    button: "Give up",
    done: "given up",
  },
} as const;

export function SettleDialog(props: { how: "retry" | "discard"; ids: readonly string[]; close: () => void; done: () => void }) {
  const words = WORDS[props.how];
  const [purpose, setPurpose] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const needs = props.how === "discard";
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const body = { ids: props.ids, purpose: purpose.trim() };
      const told = await postJson<{ settled: number; gone: string[] }>(`/dead-letters/${props.how}`, body);
      const gone = told.gone.length ? `; Kafka keeps ${told.gone.length} no longer` : "";
      toast(`${told.settled} ${words.done}${gone}.`, told.gone.length ? "warn" : "good");
      props.done();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={`${words.title}: ${props.ids.length === 1 ? props.ids[0] : `${props.ids.length} dead letters`}`} close={props.close}>
      <form onSubmit={(event) => void submit(event)}>
        <p>{words.says}</p>
        <Field label="Why" hint={needs ? "Needed; goes into the audit." : "Goes into the audit."}>
          {(ids) => (
            <input
              {...ids}
              type="text"
              required={needs}
              maxLength={500}
              value={purpose}
              onInput={(event) => setPurpose(event.currentTarget.value)}
            />
          )}
        </Field>
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Leave as it is</Button>
          <Button kind={needs ? "danger" : "primary"} type="submit" disabled={busy || (needs && !purpose.trim())}>
            {words.button}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
