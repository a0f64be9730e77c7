/** Asks why somebody is watched: kept in the audit, where the person who is watched can see it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Dialog, Field } from "../../ui/parts";
import { livePurpose } from "./watching";

export function PurposeDialog(props: { close: () => void; done: () => void }) {
  const [purpose, setPurpose] = useState(livePurpose.peek());
  const [fault, setFault] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current!.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    if (!purpose.trim()) {
      setFault("Say why: a few words are enough.");
      return;
    }
    livePurpose.value = purpose.trim();
    props.done();
  };
  return (
    <Dialog title="Why do you watch?" close={props.close}>
      <form onSubmit={submit}>
        <Field
          label="Purpose"
          hint="Kept in the audit with everybody whom you watch or hear from this page. They can see it."
          fault={fault || undefined}
        >
          {(ids) => (
            <input
              {...ids}
              ref={field}
              type="text"
              maxLength={1000}
              autocomplete="off"
              value={purpose}
              onInput={(event) => setPurpose(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit">
            Go on
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
