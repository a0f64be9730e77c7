/**
 * A one-time link: the first administrator makes their account, or somebody sets their password.
 * Never leaves the link's secret in the address, where it would stay in the history.
 */

import { useSignal } from "@preact/signals";
import { ApiError, postJson } from "../../api/client";
import { navigate, path } from "../../app/router";
import { beginSession } from "../../app/session";
import { Button, Field, Loading, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { faultOf, NewPassword } from "./NewPassword";
import { useSubmit } from "./useSubmit";

interface LinkTold {
  purpose: "first" | "password";
  name: string;
}

let secret = "";

/** The secret after the `#`, taken out of the address. */
function takeSecret(): string {
  if (location.hash.length > 1) {
    secret = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
  }
  return secret;
}

export function LinkForm() {
  const link = takeSecret();
  const told = useLoad(() => postJson<LinkTold>("/links/look", { secret: link }), [link]);
  if (told.error) {
    return (
      <div class="card stack">
        <h1>This link does not work</h1>
        {isUnknown(told.error) ? (
          <p>It is not whole, was used already, or is over. Copy all of it once more, or ask an administrator for a new one.</p>
        ) : (
          <Trouble error={told.error} again={told.again} />
        )}
        <a class="button" href="/">
          To the sign-in
        </a>
      </div>
    );
  }
  if (!told.data) return <Loading what="Looking at the link" />;
  return <Form secret={link} told={told.data} />;
}

/** Whether the server knows no such link, however it says so; everything else may be mended by trying again. */
const isUnknown = (error: unknown) => error instanceof ApiError && [400, 404, 422].includes(error.status);

function Form(props: { secret: string; told: LinkTold }) {
  const first = props.told.purpose === "first";
  const name = useSignal(props.told.name);
  const password = useSignal("");
  const again = useSignal("");
  const fault = useSignal<string | undefined>(undefined);
  const form = useSubmit(async () => {
    fault.value = faultOf(password.value, again.value);
    if (fault.value) return;
    try {
      await postJson("/links/use", { secret: props.secret, name: name.value, password: password.value });
    } catch (error) {
      if (!(error instanceof ApiError) || error.word !== "sign_in") throw error; // set, and a code is wanted
    }
    secret = "";
    await beginSession();
    navigate("/", true);
  });
  return (
    <form class="card stack" onSubmit={form.submit}>
      <h1>{first ? "Welcome" : "Set your password"}</h1>
      <p class="quiet">
        {first
          ? "Nobody can sign in yet. Make the first administrator; further accounts are made in the console."
          : `For the account ${props.told.name}. Nobody else will know it.`}
      </p>
      {form.error !== undefined && <Trouble error={form.error} />}
      {first && path.value === "/first" && (
        <Field label="Your name" hint="To sign in with, such as ann or ann@example.org.">
          {(ids) => (
            <input
              {...ids}
              type="text"
              autocomplete="username"
              autocapitalize="none"
              spellcheck={false}
              required
              autofocus
              pattern="[A-Za-z0-9][A-Za-z0-9._@\-]*"
              maxLength={64}
              value={name}
              onInput={(event) => (name.value = event.currentTarget.value)}
            />
          )}
        </Field>
      )}
      <NewPassword password={password} again={again} fault={fault.value} />
      <Button kind="primary" type="submit" disabled={form.busy}>
        {first ? "Make the account" : "Set the password"}
      </Button>
    </form>
  );
}
