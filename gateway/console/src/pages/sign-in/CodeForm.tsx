/** The code of an authenticator, or a recovery code. */

import { useSignal } from "@preact/signals";
import { Button, Field, Trouble } from "../../ui/parts";
import { useSubmit } from "./useSubmit";

export function CodeForm(props: { submit: (code: string) => Promise<void>; back: () => void }) {
  const code = useSignal("");
  const recovery = useSignal(false);
  const form = useSubmit(async () => {
    try {
      await props.submit(code.value);
    } finally {
      code.value = "";
    }
  });
  const swap = () => {
    recovery.value = !recovery.value;
    code.value = "";
  };
  return (
    <form class="card stack" onSubmit={form.submit}>
      <h1>{recovery.value ? "Recovery code" : "Code"}</h1>
      {form.error !== undefined && <Trouble error={form.error} />}
      <Field
        key={String(recovery.value)}
        label={recovery.value ? "One of your recovery codes" : "Six digits from your authenticator"}
        hint={recovery.value ? "Each works once." : "A new code comes every 30 seconds; each works once."}
      >
        {(ids) => (
          <input
            {...ids}
            type="text"
            autocomplete="one-time-code"
            inputMode={recovery.value ? "text" : "numeric"}
            spellcheck={false}
            autocapitalize="none"
            required
            autofocus
            value={code}
            onInput={(event) => (code.value = event.currentTarget.value)}
          />
        )}
      </Field>
      <Button kind="primary" type="submit" disabled={form.busy}>
        Go on
      </Button>
      <div class="row spread">
        <Button kind="plain" small onClick={swap}>
          {recovery.value ? "Use the authenticator" : "Use a recovery code"}
        </Button>
        <Button kind="plain" small onClick={props.back}>
          Back
        </Button>
      </div>
    </form>
  );
}
