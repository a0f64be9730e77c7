/** Name and password. Never says which of the two was wrong: the server does not either. */

import { useSignal } from "@preact/signals";
import { Button, Trouble, TextField } from "../../ui/parts";
import { useSubmit } from "./useSubmit";

export function PasswordForm(props: { submit: (name: string, password: string) => Promise<void> }) {
  const name = useSignal("");
  const password = useSignal("");
  const form = useSubmit(async () => {
    await props.submit(name.value, password.value);
    password.value = "";
  });
  return (
    <form class="stack" onSubmit={form.submit}>
      {form.error !== undefined && <Trouble error={form.error} />}
      <TextField label="Name" name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus value={name} />
      <TextField label="Password" type="password" name="password" autocomplete="current-password" required value={password} />
      <Button kind="primary" type="submit" disabled={form.busy}>
        {form.busy ? "Signing in" : "Sign in"}
      </Button>
    </form>
  );
}
