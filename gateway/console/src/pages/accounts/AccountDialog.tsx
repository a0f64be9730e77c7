/** An account that is made or changed: role, scope, and what an administrator can do for its owner. */

import { useSignal } from "@preact/signals";
import { deleteJson, postJson, putJson } from "../../api/client";
import { session } from "../../app/session";
import { Button, Dialog, Field, Trouble } from "../../ui/parts";
import { perform } from "../account/act";
import { withProof } from "../account/proof";
import { useSubmit } from "../sign-in/useSubmit";
import { ROLE_WORDS, ROLES, type AccountRow, type Role, type Teams } from "./model";
import { Scope } from "./Scope";
import { TheirSessions } from "./TheirSessions";

interface Props {
  account: AccountRow | "new";
  teams: Teams;
  close: () => void;
  changed: () => void;
  linked: (made: { name: string; link: string }) => void;
}

const NEW = {
  name: "",
  display_name: "",
  role: "officer" as Role,
  person: "",
  all_teams: false,
  teams: [] as string[],
  unlock_on_server: false,
  disabled: false,
};
export type Wish = typeof NEW;

export function AccountDialog(props: Props) {
  const known = props.account === "new" ? undefined : props.account;
  const wish = useSignal<Wish>(known ? { ...NEW, ...pick(known) } : NEW);
  const own = known?.id === session.value!.account.id;
  const set = (changes: Partial<Wish>) => (wish.value = { ...wish.value, ...changes });
  const form = useSubmit(async () => {
    if (known) {
      const { name: _, ...rest } = wish.value;
      await withProof(() => putJson(`/accounts/${known.id}`, rest));
      props.changed();
      props.close();
      return;
    }
    const made = await withProof(() => postJson<{ link: string }>("/accounts", wish.value));
    props.changed();
    props.linked({ name: wish.value.name, link: made.link });
  });
  return (
    <Dialog title={known ? known.name : "New account"} close={props.close}>
      <form class="stack" onSubmit={form.submit}>
        {form.error !== undefined && <Trouble error={form.error} />}
        {!known && (
          <Field label="Name" hint="To sign in with: a-z, 0-9, and . _ @ -">
            {(ids) => (
              <input
                {...ids}
                type="text"
                required
                maxLength={64}
                autocapitalize="none"
                spellcheck={false}
                value={wish.value.name}
                onInput={(event) => set({ name: event.currentTarget.value })}
              />
            )}
          </Field>
        )}
        <Field label="Full name">
          {(ids) => (
            <input
              {...ids}
              type="text"
              maxLength={128}
              value={wish.value.display_name}
              onInput={(event) => set({ display_name: event.currentTarget.value })}
            />
          )}
        </Field>
        {!own && <Rights wish={wish.value} set={set} teams={props.teams} />}
        {own && <p class="quiet">This is your own account: another administrator changes its role and scope.</p>}
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={form.busy}>
            {known ? "Save" : "Make the account"}
          </Button>
        </div>
      </form>
      {known && !own && <Help account={known} props={props} />}
    </Dialog>
  );
}

function Rights(props: { wish: Wish; set: (changes: Partial<Wish>) => void; teams: Teams }) {
  const { wish, set } = props;
  return (
    <>
      <Field label="Role" hint={ROLE_WORDS[wish.role]}>
        {(ids) => (
          <select {...ids} value={wish.role} onChange={(event) => set({ role: event.currentTarget.value as Role })}>
            {ROLES.map((role) => (
              <option key={role} value={role}>
                {role}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Scope {...props} />
      {wish.role === "officer" && (
        <label>
          <input
            type="checkbox"
            checked={wish.unlock_on_server}
            onChange={(event) => set({ unlock_on_server: event.currentTarget.checked })}
          />
          May have the server open end-to-end data, not only their browser
        </label>
      )}
      <label>
        <input type="checkbox" checked={wish.disabled} onChange={(event) => set({ disabled: event.currentTarget.checked })} />
        Disabled: cannot sign in
      </label>
    </>
  );
}

/** What an administrator can do for who lost something. */
function Help({ account, props }: { account: AccountRow; props: Props }) {
  const asked = useSignal(false);
  const done = () => {
    props.changed();
    props.close();
  };
  const link = () =>
    perform(async () => {
      const made = await postJson<{ link: string }>(`/accounts/${account.id}/link`);
      props.linked({ name: account.name, link: made.link });
    }, "");
  const reset = () => perform(() => deleteJson(`/accounts/${account.id}/totp`), "They sign in without a code now.", done);
  const remove = () => perform(() => deleteJson(`/accounts/${account.id}`), `${account.name} is no more.`, done);
  return (
    <section class="stack recovery">
      <h3>For its owner</h3>
      <div class="row">
        <Button small onClick={() => void link()}>
          Link to set a password
        </Button>
        {account.totp && (
          <Button small onClick={() => void reset()}>
            Take codes away
          </Button>
        )}
        <Button small kind="danger" onClick={() => (asked.value ? void remove() : (asked.value = true))}>
          {asked.value ? `Really delete ${account.name}` : "Delete the account"}
        </Button>
      </div>
      <TheirSessions account={account} />
    </section>
  );
}

function pick(account: AccountRow): Wish {
  const { name, display_name, role, person, all_teams, teams, unlock_on_server, disabled } = account;
  return { name, display_name, role, person, all_teams, teams, unlock_on_server, disabled };
}
