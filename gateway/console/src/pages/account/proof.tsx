/**
 * Changes that need a fresh proof: what the server refuses as not fresh is asked for by password, and done then.
 * Never keeps the password longer than its request.
 */

import { signal, useSignal } from "@preact/signals";
import { ApiError, getJson, postJson } from "../../api/client";
import { session } from "../../app/session";
import { Button, Dialog, Loading, Trouble, TextField } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { useSubmit } from "../sign-in/useSubmit";

/** The person closed the dialog: nothing was done. */
export class Cancelled extends Error {
  constructor() {
    super("Nothing was changed.");
  }
}

interface Waiting {
  go: () => void;
  stop: () => void;
}
const waiting = signal<Waiting | undefined>(undefined);

/** Do `act`; where the server wants the password again, ask for it and do it then. */
export async function withProof<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ApiError) || error.word !== "not_fresh") throw error;
  }
  await new Promise<void>((resolve, reject) => {
    waiting.value = { go: resolve, stop: () => reject(new Cancelled()) };
  });
  return act();
}

/** Put it once on a page that uses `withProof`. */
export function ProofDialog() {
  const asked = waiting.value;
  if (!asked) return null;
  const end = (how: () => void) => {
    waiting.value = undefined;
    how();
  };
  return (
    <Dialog title="Is it you?" close={() => end(asked.stop)}>
      <Ask done={() => end(asked.go)} />
    </Dialog>
  );
}

function Ask(props: { done: () => void }) {
  const password = useSignal("");
  const code = useSignal("");
  const security = useLoad((signal) => getJson<{ password: boolean }>("/account/security", {}, signal), []);
  const form = useSubmit(async () => {
    await postJson("/session/fresh", { password: password.value, code: code.value });
    props.done();
  });
  if (security.error) return <Trouble error={security.error} again={security.again} />;
  if (!security.data) return <Loading />;
  if (!security.data.password) {
    return (
      <>
        <p>Sign in again at your organisation's provider, then repeat what you wanted to change.</p>
        <a class="button primary" href="/api/v1/oidc/begin?again=true">
          Sign in again
        </a>
      </>
    );
  }
  return (
    <form class="stack" onSubmit={form.submit}>
      <p class="quiet">You signed in a while ago. Show your password before you change this.</p>
      {form.error !== undefined && <Trouble error={form.error} />}
      <TextField label="Your password" type="password" autocomplete="current-password" required autofocus value={password} />
      {session.value?.totp && (
        <TextField label="Code" hint="Six digits, or a recovery code." autocomplete="one-time-code" required value={code} />
      )}
      <div class="actions">
        <Button kind="primary" type="submit" disabled={form.busy}>
          Go on
        </Button>
      </div>
    </form>
  );
}
