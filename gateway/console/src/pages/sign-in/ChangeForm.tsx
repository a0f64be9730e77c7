/** A password that somebody else gave must be changed before anything else. */

import { useSignal } from "@preact/signals";
import { postJson } from "../../api/client";
import { loadSession, signOut } from "../../app/session";
import { Button, Trouble, TextField } from "../../ui/parts";
import { faultOf, NewPassword } from "./NewPassword";
import { useSubmit } from "./useSubmit";

export function ChangeForm() {
  const current = useSignal("");
  const password = useSignal("");
  const again = useSignal("");
  const fault = useSignal<string | undefined>(undefined);
  const form = useSubmit(async () => {
    fault.value = faultOf(password.value, again.value);
    if (fault.value) return;
    await postJson("/account/password", { current: current.value, new: password.value });
    await loadSession();
  });
  return (
    <form class="card stack" onSubmit={form.submit}>
      <h1>Choose a password of your own</h1>
      {form.error !== undefined && <Trouble error={form.error} />}
      <TextField label="Password as it is" type="password" autocomplete="current-password" required value={current} />
      <NewPassword password={password} again={again} fault={fault.value} label="New password" />
      <div class="row spread">
        <Button kind="primary" type="submit" disabled={form.busy}>
          Change it
        </Button>
        <Button kind="plain" onClick={() => void signOut()}>
          Sign out
        </Button>
      </div>
    </form>
  );
}
