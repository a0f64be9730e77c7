/**
 * What is asked for before sealed data is opened: key files, passphrases, purpose, time; or more keys for what is open.
 * Never keeps a passphrase: its field is emptied as it is read, and its bytes are wiped after use.
 */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { session } from "../app/session";
import { Button, Field, toast, Trouble } from "../ui/parts";
import { unlockFacts, unlockWanted, type UnlockFacts } from "./current";
import { KeyFiles, type KeyFilesChoice } from "./KeyFiles";
import { KeyRing, type KeyFileState } from "./keyRing";
import { KeysOfPage, useKeyNames, useNeededKeys } from "./KeysOfPage";
import { OnServer } from "./OnServer";
import { askAgain, passphraseHint, PurposeField, purposeFault, takePassphrase, TimeBox } from "./parts";
import { addKeys, unlock, USUAL_MINUTES } from "./unlocking";
import { useLeaving } from "./useLeaving";

export default function UnlockDialog() {
  const [server, setServer] = useState(false);
  const running = useRunning();
  if (server) return <OnServer back={() => setServer(false)} />;
  return (
    <>
      <InBrowser running={running} />
      {session.value?.unlock_on_server && !running && (
        <p class="other-way">
          <Button small kind="plain" onClick={() => setServer(true)}>
            Open on the server instead
          </Button>
        </p>
      )}
    </>
  );
}

/** The unlock of this page that keys are added to, if there is one; the dialog closes when it is over. */
function useRunning(): UnlockFacts | undefined {
  const [id] = useState(() => (unlockFacts.peek()?.onServer ? undefined : unlockFacts.peek()?.id));
  const running = id !== undefined && unlockFacts.value?.id === id ? unlockFacts.value : undefined;
  useEffect(() => {
    if (id && !running) unlockWanted.value = false;
  }, [id, running]);
  return running;
}

interface Faults {
  key?: string | undefined;
  purpose?: string | undefined;
  other?: unknown;
}

function InBrowser({ running }: { running: UnlockFacts | undefined }) {
  const [, redraw] = useState(0);
  const [faults, setFaults] = useState<Faults>({});
  const changed = () => (setFaults({}), redraw((count) => count + 1));
  const ring = useRing(changed);
  const choice = useRef<KeyFilesChoice | undefined>(undefined);
  const passphrase = useRef<HTMLInputElement>(null);
  const purpose = useRef<HTMLTextAreaElement>(null!);
  const minutes = useRef(USUAL_MINUTES as number);
  const [busy, setBusy] = useState(false);
  const { files } = ring;
  const openIds = [...(running?.keyIds ?? []), ...files.flatMap(({ keyId }) => keyId ?? [])];
  const needed = useNeededKeys(openIds);
  const names = useKeyNames([...new Set([...needed.map(({ keyId }) => keyId), ...openIds])]);
  const closed = files.filter(({ keyId, hopeful }) => !keyId && hopeful);
  /** Whether every file is open; what does not open is shown, and another passphrase asked for. */
  const openFiles = async (): Promise<boolean> => {
    await ring.open(takePassphrase(passphrase.current!));
    return ring.files.every(({ keyId }) => keyId);
  };
  const finish = async (said: string) => {
    const { identities } = ring;
    await (running ? addKeys(identities) : unlock({ identities, purpose: said, minutes: minutes.current }));
    const warned = identities.flatMap(({ warnings }) => warnings);
    for (const warning of new Set(warned)) toast(`About ${identities.length > 1 ? "a" : "this"} key file: ${warning}.`, "warn");
    unlockWanted.value = false;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    const said = purpose.current?.value.trim() ?? "";
    setBusy(true);
    try {
      await choice.current?.settle();
      const missing = {
        key: ring.files.length ? undefined : "Choose the key files first.",
        purpose: running ? undefined : purposeFault(said),
      };
      setFaults(missing);
      if (missing.key || missing.purpose || !(await openFiles())) return;
      await finish(said);
    } catch (error) {
      ring.shut();
      setFaults({ other: error });
    } finally {
      setBusy(false);
      if (ring.files.some(({ keyId }) => !keyId)) askAgain(passphrase.current);
    }
  };
  const action = running ? "Add" : "Unlock";
  return (
    <form class="stack unlocking" onSubmit={(event) => void submit(event)}>
      <p class="quiet">
        Keys and passphrases stay in this page. The server sends what is sealed, and learns only{" "}
        {running ? "which keys you add." : "that you unlocked, and why."}
      </p>
      <KeysOfPage keys={needed} names={names} />
      <KeyFiles ring={ring} choice={choice} names={names} fault={faults.key} changed={changed} />
      <KeyTroubles files={files} />
      <Field label="Passphrase" {...hintOf(files, closed)}>
        {(ids) => <input {...ids} ref={passphrase} type="password" autocomplete="off" spellcheck={false} />}
      </Field>
      {running ? <Kept facts={running} /> : (
        <>
          <PurposeField input={purpose} fault={faults.purpose} />
          <TimeBox chosen={USUAL_MINUTES} choose={(value) => (minutes.current = value)} />
        </>
      )}
      {faults.other !== undefined && <Trouble error={faults.other} />}
      <div class="actions">
        <Button onClick={() => (unlockWanted.value = false)}>Cancel</Button>
        <Button kind="primary" type="submit" disabled={busy}>
          {busy ? "Opening keys" : action}
        </Button>
      </div>
    </form>
  );
}

/** The files of this dialog; gone with it, and with the page. */
function useRing(changed: () => void): KeyRing {
  const ring = useMemo(() => new KeyRing(undefined, changed), []);
  useLeaving(() => ring.drop());
  return ring;
}

/** Which files the passphrase is for: it is tried on all that are closed. */
function hintOf(files: readonly KeyFileState[], closed: readonly KeyFileState[]): { hint?: string } {
  if (files.length < 2) return {};
  if (!closed.length) return { hint: "All chosen files are open." };
  return { hint: passphraseHint(closed.map(({ name }) => name)) };
}

/** Purpose and end of the unlock that keys are added to. */
function Kept({ facts }: { facts: UnlockFacts }) {
  const end = new Date(facts.endsAtMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return (
    <p class="quiet">
      The purpose stays “{facts.purpose}”, and all keys lock at {end}.
    </p>
  );
}

/** What is wrong with key files, and the command that helps where there is one. */
function KeyTroubles({ files }: { files: readonly KeyFileState[] }) {
  const wrong = files.filter(({ fault }) => fault);
  if (!wrong.length) return null;
  return (
    <div class="notice bad" role="alert">
      {wrong.map((file, number) => (
        <KeyTrouble key={number} file={file} alone={files.length === 1} />
      ))}
    </div>
  );
}

function KeyTrouble({ file, alone }: { file: KeyFileState; alone: boolean }) {
  const { message, command, reason } = file.fault!;
  const another = reason === "wrong_passphrase" && !alone;
  const said = another ? "this passphrase does not open it; type its own, or remove the file" : message.split("; run: ")[0]!;
  return (
    <>
      <p>
        {file.name}: {said}.
      </p>
      {command && (
        <>
          <p>Convert it with this command, then choose the new file:</p>
          <pre class="command" tabIndex={0}>{command}</pre>
        </>
      )}
    </>
  );
}
