/** API tokens of one's own: made with scopes, shown once, revoked. */

import { useSignal } from "@preact/signals";
import { deleteJson, getJson, postJson } from "../../api/client";
import { session } from "../../app/session";
import { Button, Dialog, Field, Loading, Table, Time, toast, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { useSubmit } from "../sign-in/useSubmit";
import { perform } from "./act";
import { withProof } from "./proof";

export interface TokenRow {
  id: string;
  name: string;
  scopes: string[];
  created_at_ms: number;
  expires_at_ms: number;
  used_at_ms: number | null;
}

export function Tokens() {
  const loaded = useLoad((signal) => getJson<{ tokens: TokenRow[] }>("/tokens", {}, signal), []);
  const making = useSignal(false);
  const revoke = (row: TokenRow) => perform(() => deleteJson(`/tokens/${row.id}`), `The token ${row.name} is no more.`, loaded.again);
  return (
    <section class="card stack">
      <div class="row spread middle">
        <h2>API tokens</h2>
        <Button small onClick={() => (making.value = true)}>
          New token
        </Button>
      </div>
      <p class="quiet">For programs that use the API in your name. They can do no more than you chose, and never more than you.</p>
      {loaded.error !== undefined && <Trouble error={loaded.error} again={loaded.again} />}
      {!loaded.data ? <Loading /> : loaded.data.tokens.length > 0 && <List rows={loaded.data.tokens} revoke={revoke} />}
      {making.value && <Making close={() => (making.value = false)} made={loaded.again} />}
    </section>
  );
}

export function List(props: { rows: readonly TokenRow[]; revoke: (row: TokenRow) => unknown }) {
  return (
    <Table
      label="API tokens"
      rows={props.rows}
      id={(row) => row.id}
      columns={[
        { title: "Name", show: (row) => row.name },
        { title: "May", show: (row) => row.scopes.map(scopeName).join(", ") },
        { title: "Valid until", show: (row) => <Time ms={row.expires_at_ms} /> },
        { title: "Last used", show: (row) => (row.used_at_ms ? <Time ms={row.used_at_ms} age /> : "never") },
        {
          title: "Action",
          show: (row) => (
            <Button small kind="danger" onClick={() => void props.revoke(row)}>
              Revoke
            </Button>
          ),
        },
      ]}
    />
  );
}

/** A permission in words. */
export const scopeName = (scope: string) => scope.replaceAll("_", " ");

function Making(props: { close: () => void; made: () => void }) {
  const name = useSignal("");
  const days = useSignal(30);
  const scopes = useSignal<ReadonlySet<string>>(new Set());
  const token = useSignal("");
  const form = useSubmit(async () => {
    const wish = { name: name.value, days: days.value, scopes: [...scopes.value] };
    token.value = (await withProof(() => postJson<{ token: string }>("/tokens", wish))).token;
    props.made();
  });
  if (token.value) return <Made token={token.value} close={props.close} />;
  const choose = (scope: string, yes: boolean) => {
    const next = new Set(scopes.value);
    if (yes) next.add(scope);
    else next.delete(scope);
    scopes.value = next;
  };
  return (
    <Dialog title="New token" close={props.close}>
      <form class="stack" onSubmit={form.submit}>
        {form.error !== undefined && <Trouble error={form.error} />}
        <Field label="Name" hint="What it is for.">
          {(ids) => (
            <input {...ids} type="text" required maxLength={64} value={name} onInput={(event) => (name.value = event.currentTarget.value)} />
          )}
        </Field>
        <Field label="Valid for (days)">
          {(ids) => (
            <input
              {...ids}
              type="number"
              min={1}
              max={366}
              required
              value={days}
              onInput={(event) => (days.value = event.currentTarget.valueAsNumber)}
            />
          )}
        </Field>
        <fieldset class="choices">
          <legend>It may</legend>
          {session.value!.permissions.map((scope) => (
            <label key={scope}>
              <input
                type="checkbox"
                checked={scopes.value.has(scope)}
                onChange={(event) => choose(scope, event.currentTarget.checked)}
              />
              {scopeName(scope)}
            </label>
          ))}
        </fieldset>
        <div class="actions">
          <Button kind="primary" type="submit" disabled={form.busy || !scopes.value.size}>
            Make the token
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Made(props: { token: string; close: () => void }) {
  return (
    <Dialog title="Your token" close={props.close}>
      <p>It is shown this once. Who has it can do what it may, until it is revoked.</p>
      <Secret text={props.token} label="Token" />
      <div class="actions">
        <Button kind="primary" onClick={props.close}>
          I have kept it
        </Button>
      </div>
    </Dialog>
  );
}

/** Something that is shown once, to be copied. */
export function Secret(props: { text: string; label: string }) {
  return (
    <Field label={props.label}>
      {(ids) => (
        <div class="row">
          <input {...ids} class="secret" type="text" readOnly value={props.text} onFocus={(event) => event.currentTarget.select()} />
          <Button onClick={() => void navigator.clipboard.writeText(props.text).then(() => toast("Copied"))}>Copy</Button>
        </div>
      )}
    </Field>
  );
}
