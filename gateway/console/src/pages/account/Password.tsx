/** Changing one's password: all other sessions end. */

import { useSignal } from "@preact/signals";
import { getJson, postJson } from "../../api/client";
import { Button, toast, Trouble, TextField } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { faultOf, NewPassword } from "../sign-in/NewPassword";
import { useSubmit } from "../sign-in/useSubmit";

export function Password() {
  const current = useSignal("");
  const password = useSignal("");
  const again = useSignal("");
  const fault = useSignal<string | undefined>(undefined);
  const security = useLoad((signal) => getJson<{ password: boolean }>("/account/security", {}, signal), []);
  const form = useSubmit(async () => {
    fault.value = faultOf(password.value, again.value);
    if (fault.value) return;
    await postJson("/account/password", { current: current.value, new: password.value });
    current.value = password.value = again.value = "";
    toast("Your password is changed. You were signed out everywhere else.");
  });
  if (security.data && !security.data.password) {
    return (
      <section class="card">
        <h2>Password</h2>
        <p>You sign in by your organisation's provider: there is no password here.</p>
      </section>
    );
  }
  return (
    <section class="card">
      <h2>Password</h2>
      <form class="stack" onSubmit={form.submit}>
        {form.error !== undefined && <Trouble error={form.error} />}
        <TextField label="Password as it is" type="password" autocomplete="current-password" required value={current} />
        <NewPassword password={password} again={again} fault={fault.value} label="New password" />
        <div>
          <Button type="submit" disabled={form.busy}>
            Change the password
          </Button>
        </div>
      </form>
    </section>
  );
}
