/** Codes at sign-in: an authenticator by a picture, and recovery codes that are shown once. */

import { useSignal } from "@preact/signals";
import { deleteJson, getJson, postJson, putJson } from "../../api/client";
import { loadSession } from "../../app/session";
import { Badge, Button, Dialog, Loading, toast, Trouble, TextField } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { useSubmit } from "../sign-in/useSubmit";
import { perform } from "./act";
import { withProof } from "./proof";

interface Security {
  password: boolean;
  totp: boolean;
  recovery_codes_left: number;
}
interface Offer {
  secret: string;
  picture: string;
}

export function Codes() {
  const security = useLoad((signal) => getJson<Security>("/account/security", {}, signal), []);
  const offer = useSignal<Offer | undefined>(undefined);
  const codes = useSignal<readonly string[] | undefined>(undefined);
  const changed = () => {
    security.again();
    void loadSession();
  };
  const begin = () =>
    perform(async () => {
      offer.value = await postJson<Offer>("/account/totp");
    }, "");
  const renew = () =>
    perform(async () => {
      codes.value = (await postJson<{ recovery_codes: string[] }>("/account/recovery-codes")).recovery_codes;
    }, "", changed);
  const remove = () => perform(() => deleteJson("/account/totp"), "You sign in without a code from now on.", changed);
  return (
    <section class="card stack">
      <h2>Codes at sign-in</h2>
      {security.error !== undefined && <Trouble error={security.error} again={security.again} />}
      {!security.data ? (
        <Loading />
      ) : security.data.totp ? (
        <>
          <p>
            <Badge tone="good">On</Badge> Besides the password, signing in asks for a code of your authenticator.
          </p>
          <p class={security.data.recovery_codes_left < 3 ? "" : "quiet"}>{security.data.recovery_codes_left} of 10 recovery codes are left.</p>
          <div class="row">
            <Button onClick={() => void renew()}>New recovery codes</Button>
            <Button kind="danger" onClick={() => void remove()}>
              Turn off
            </Button>
          </div>
        </>
      ) : (
        <>
          <p>
            <Badge tone="warn">Off</Badge> Whoever knows your password can sign in. With codes they need your device too.
          </p>
          <div>
            <Button onClick={() => void begin()}>Set up codes</Button>
          </div>
        </>
      )}
      {offer.value && (
        <Enrolment
          offer={offer.value}
          close={() => (offer.value = undefined)}
          done={(made) => {
            offer.value = undefined;
            codes.value = made;
            changed();
          }}
        />
      )}
      {codes.value && <RecoveryCodes codes={codes.value} close={() => (codes.value = undefined)} />}
    </section>
  );
}

function Enrolment(props: { offer: Offer; close: () => void; done: (codes: readonly string[]) => void }) {
  const code = useSignal("");
  const form = useSubmit(async () => {
    const answer = await withProof(() => putJson<{ recovery_codes: string[] }>("/account/totp", { code: code.value }));
    props.done(answer.recovery_codes);
  });
  return (
    <Dialog title="Set up codes" close={props.close}>
      <form class="stack" onSubmit={form.submit}>
        <p>Scan this with an authenticator (any that knows TOTP), then type the code that it shows.</p>
        <img src={props.offer.picture} alt="QR code for the authenticator" width={220} height={220} />
        <p class="quiet">
          Or type this into it: <code>{props.offer.secret.replace(/(.{4})/g, "$1 ").trim()}</code>
        </p>
        {form.error !== undefined && <Trouble error={form.error} />}
        <TextField label="Code" inputMode="numeric" autocomplete="one-time-code" required value={code} />
        <div class="actions">
          <Button kind="primary" type="submit" disabled={form.busy}>
            Turn codes on
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function RecoveryCodes(props: { codes: readonly string[]; close: () => void }) {
  const copy = () => {
    void navigator.clipboard.writeText(props.codes.join("\n")).then(() => toast("Copied"));
  };
  return (
    <Dialog title="Recovery codes" close={props.close}>
      <p>Each of them works once, in place of a code, when your device is lost. They are shown this once: keep them where only you get at them.</p>
      <ul class="codes">
        {props.codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <div class="actions">
        <Button onClick={copy}>Copy</Button>
        <Button kind="primary" onClick={props.close}>
          I have kept them
        </Button>
      </div>
    </Dialog>
  );
}
