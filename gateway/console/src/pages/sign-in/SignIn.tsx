/** Signing in with a name and a password. Never keeps the password longer than the request. */

import { useSignal } from "@preact/signals";
import { postJson } from "../../api/client";
import { loadSession } from "../../app/session";
import { Button, Field, Trouble } from "../../ui/parts";

export default function SignIn() {
  const name = useSignal("");
  const password = useSignal("");
  const error = useSignal<unknown>(undefined);
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await postJson("/session", { name: name.value, password: password.value });
      password.value = "";
      await loadSession();
    } catch (fault) {
      error.value = fault;
    }
  };
  return (
    <main class="center">
      <form class="card stack" onSubmit={(event) => void submit(event)}>
        <h1>Sign in</h1>
        {error.value !== undefined && <Trouble error={error.value} />}
        <Field label="Name">
          {(ids) => <input {...ids} type="text" autocomplete="username" required value={name} onInput={(e) => (name.value = e.currentTarget.value)} />}
        </Field>
        <Field label="Password">
          {(ids) => (
            <input {...ids} type="password" autocomplete="current-password" required value={password} onInput={(e) => (password.value = e.currentTarget.value)} />
          )}
        </Field>
        <Button kind="primary" type="submit">
          Sign in
        </Button>
      </form>
    </main>
  );
}
