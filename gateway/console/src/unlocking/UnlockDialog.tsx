/**
 * What is asked for before sealed data is opened: key file, passphrase, purpose, time.
 * Never keeps the passphrase: its field is emptied as it is read, and its bytes are wiped after use.
 */

import { useRef, useState } from "preact/hooks";
import { session } from "../app/session";
import { Button, Field, toast, Trouble } from "../ui/parts";
import { KeyFileError } from "../unlock/errors";
import { unlockWanted } from "./current";
import { KeyFile, type KeyFileChoice } from "./KeyFile";
import { OnServer } from "./OnServer";
import { PurposeField, purposeFault, takePassphrase, TimeBox } from "./parts";
import { unlock, USUAL_MINUTES } from "./unlocking";

export default function UnlockDialog() {
  const [server, setServer] = useState(false);
  if (server) return <OnServer back={() => setServer(false)} />;
  return (
    <>
      <InBrowser />
      {session.value?.unlock_on_server && (
        <p class="other-way">
          <Button small kind="plain" onClick={() => setServer(true)}>
            Open on the server instead
          </Button>
        </p>
      )}
    </>
  );
}

interface Faults {
  key?: string | undefined;
  purpose?: string | undefined;
  other?: unknown;
}

function InBrowser() {
  const choice = useRef<KeyFileChoice | undefined>(undefined);
  const passphrase = useRef<HTMLInputElement>(null);
  const purpose = useRef<HTMLTextAreaElement>(null!);
  const minutes = useRef(USUAL_MINUTES as number);
  const [busy, setBusy] = useState(false);
  const [faults, setFaults] = useState<Faults>({});
  const submit = async (event: Event) => {
    event.preventDefault();
    const said = purpose.current.value.trim();
    const missing = { key: choice.current ? undefined : "Choose the key file first.", purpose: purposeFault(said) };
    setFaults(missing);
    if (missing.key || missing.purpose || busy) return;
    setBusy(true);
    const secret = takePassphrase(passphrase.current!);
    try {
      const pem = await choice.current!.text();
      const warnings = await unlock({ pem, passphrase: secret, purpose: said, minutes: minutes.current });
      for (const warning of warnings) toast(`About this key file: ${warning}.`, "warn");
      unlockWanted.value = false;
    } catch (error) {
      setFaults({ other: error });
      setBusy(false);
      passphrase.current?.focus();
    }
  };
  return (
    <form class="stack unlocking" onSubmit={(event) => void submit(event)}>
      <p class="quiet">Key and passphrase stay in this page. The server sends what is sealed, and learns only that you unlocked, and why.</p>
      <KeyFile choice={choice} fault={faults.key} />
      <Field label="Passphrase">
        {(ids) => <input {...ids} ref={passphrase} type="password" autocomplete="off" spellcheck={false} />}
      </Field>
      <PurposeField input={purpose} fault={faults.purpose} />
      <TimeBox chosen={USUAL_MINUTES} choose={(value) => (minutes.current = value)} />
      {faults.other !== undefined && <KeyTrouble error={faults.other} />}
      <div class="actions">
        <Button onClick={() => (unlockWanted.value = false)}>Cancel</Button>
        <Button kind="primary" type="submit" disabled={busy}>
          {busy ? "Opening the key" : "Unlock"}
        </Button>
      </div>
    </form>
  );
}

/** What is wrong with a key file, and the command that helps where there is one. */
function KeyTrouble(props: { error: unknown }) {
  const { error } = props;
  if (!(error instanceof KeyFileError)) return <Trouble error={error} />;
  const said = error.message.split("; run: ")[0]!;
  return (
    <div class="notice bad" role="alert">
      <p>{said[0]!.toUpperCase() + said.slice(1)}.</p>
      {error.command && (
        <>
          <p>Convert it with this command, then choose the new file:</p>
          <pre class="command" tabIndex={0}>{error.command}</pre>
        </>
      )}
    </div>
  );
}
