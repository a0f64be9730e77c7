/**
 * What is asked while an unlock on the server has keys that are closed: other passphrases, or going on with what is open.
 * Never keeps a passphrase, and never ends the unlock over one that is wrong.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { Badge, Button, Field, Notice, Trouble } from "../ui/parts";
import { unlockWanted } from "./current";
import { asksAgain, type ServerUnlock } from "./onServer";
import { askAgain, passphraseHint, takePassphrase } from "./parts";

export function MoreKeys(props: { unlock: ServerUnlock; releasing: boolean; release: () => Promise<void> }) {
  const { unlock, release } = props;
  const { opened, closed } = unlock;
  const passphrase = useRef<HTMLInputElement>(null);
  const goOn = useRef<HTMLButtonElement>(null);
  const [opening, setOpening] = useState(false);
  const [wrong, setWrong] = useState(false);
  /** Why no more can be opened in this unlock. */
  const [error, setError] = useState<unknown>(undefined);
  const busy = opening || props.releasing;
  useEffect(() => (error === undefined ? askAgain(passphrase.current) : goOn.current?.focus()), [error]);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    setOpening(true);
    setWrong(false);
    try {
      await unlock.open(takePassphrase(passphrase.current!));
      if (!unlock.closed.length) await release();
    } catch (problem) {
      if (asksAgain(problem)) setWrong(true);
      else setError(problem);
    } finally {
      setOpening(false);
      askAgain(passphrase.current);
    }
  };
  return (
    <form class="stack unlocking" onSubmit={(event) => void submit(event)}>
      <section class="keys-of-page" role="status">
        <h3>What was asked for is sealed to</h3>
        <ul>
          {opened.map((name) => <Key key={name} name={name} tone="good" state="open" />)}
          {closed.map((name) => <Key key={name} name={name} state="closed" />)}
        </ul>
      </section>
      {wrong && (
        <Notice tone="bad" role="alert">
          {closed.join(", ")}: {closed.length > 1 ? "this passphrase opens none of them; type another" : "this passphrase does not open it; type its own"}, or
          go on with what is open.
        </Notice>
      )}
      {error === undefined ? (
        <Field label="Passphrase" hint={passphraseHint(closed)}>
          {(ids) => <input {...ids} ref={passphrase} type="password" autocomplete="off" spellcheck={false} required />}
        </Field>
      ) : (
        <Trouble error={error} />
      )}
      <div class="actions">
        <Button onClick={() => (unlockWanted.value = false)}>Cancel</Button>
        <Button ref={goOn} disabled={busy} onClick={() => void release()}>
          Go on with what is open
        </Button>
        {error === undefined && (
          <Button kind="primary" type="submit" disabled={busy}>
            {busy ? "The server opens it" : "Open more"}
          </Button>
        )}
      </div>
    </form>
  );
}

function Key(props: { name: string; tone?: "good"; state: string }) {
  return (
    <li>
      <strong class="key">{props.name}</strong>
      <Badge tone={props.tone}>{props.state}</Badge>
    </li>
  );
}
