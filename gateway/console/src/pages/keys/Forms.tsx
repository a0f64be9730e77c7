/** Registering a public key and having one made for the server. Never takes a private key: it is refused before it is sent. */

import { useState } from "preact/hooks";
import { postJson } from "../../api/client";
import { Button, Dialog, Field, Notice, Trouble, toast } from "../../ui/parts";
import type { Done } from "./answers";
import { ReasonField } from "./Rotation";

interface Props {
  close: () => void;
  changed: () => void;
}

const NAME = "[A-Za-z0-9][A-Za-z0-9._@\\-]{0,99}";
const PRIVATE =
  "This holds a private key. It was not sent. Choose the public half: the file that ends in .pub.pem and begins with BEGIN PUBLIC KEY.";

function useSending(props: Props) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const send = async (path: string, body: unknown) => {
    setBusy(true);
    setError(undefined);
    try {
      const done = await postJson<Done>(path, body);
      toast(`${done.says} ${done.next}`.trim());
      props.changed();
      props.close();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return { busy, error, send };
}

export function RegisterDialog(props: Props) {
  const { busy, error, send } = useSending(props);
  const [name, setName] = useState("");
  const [purpose, setPurpose] = useState("end_to_end");
  const [pem, setPem] = useState("");
  const [reason, setReason] = useState("");
  const holdsPrivate = /PRIVATE/i.test(pem);
  const take = async (files: FileList | null) => {
    const file = files?.[0];
    if (!file) return;
    setPem(file.size < 65_536 ? await file.text() : "This file is too large for a public key.");
    if (!name) setName(file.name.replace(/\.pub\.pem$|\.pem$/, ""));
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (!holdsPrivate) void send("/keys/register", { name, purpose, pem, reason });
  };
  return (
    <Dialog title="Register a public key" close={props.close}>
      <form class="stack" onSubmit={submit}>
        <p>
          Its owner makes it where they are, <code>sealstream keys make NAME</code>, and gives you <code>NAME.pub.pem</code>. Compare the
          key id afterwards with the one they saw.
        </p>
        <Field label="File of the public half">
          {(ids) => <input {...ids} type="file" accept=".pem" onChange={(event) => void take(event.currentTarget.files)} />}
        </Field>
        <Field label="Or its text" fault={holdsPrivate ? PRIVATE : undefined}>
          {(ids) => (
            <textarea
              {...ids}
              class="pem"
              required
              spellcheck={false}
              value={pem}
              placeholder="-----BEGIN PUBLIC KEY-----"
              onInput={(event) => setPem(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="row">
          <Field label="Name" hint="Letters, digits, dots and dashes">
            {(ids) => (
              <input
                {...ids}
                type="text"
                required
                pattern={NAME}
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
              />
            )}
          </Field>
          <Field label="For" hint="Its private half decides who opens">
            {(ids) => (
              <select {...ids} value={purpose} onChange={(event) => setPurpose(event.currentTarget.value)}>
                <option value="end_to_end">end to end: people open it</option>
                <option value="server">the server: miners open it</option>
              </select>
            )}
          </Field>
        </div>
        <ReasonField value={reason} change={setReason} />
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={busy || holdsPrivate}>
            Register
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function MakeDialog(props: Props) {
  const { busy, error, send } = useSending(props);
  const [name, setName] = useState(`server-${new Date().getFullYear() + 1}`);
  const [reason, setReason] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    void send("/keys/make", { name, reason });
  };
  return (
    <Dialog title="Make a key for the server" close={props.close}>
      <form class="stack" onSubmit={submit}>
        <p>An RSA-3072 key is made on this node, under the server's own passphrase, and registered. Agents seal to it within seconds.</p>
        <Notice>
          Keys that the server must not open are not made here: their owners make them, and you register the public halves.
        </Notice>
        <Field label="Name">
          {(ids) => (
            <input {...ids} type="text" required pattern={NAME} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          )}
        </Field>
        <ReasonField value={reason} change={setReason} />
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={busy}>
            {busy ? "Making it" : "Make it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
