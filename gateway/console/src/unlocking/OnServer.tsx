/**
 * Having the server open what is sealed, where the account may: another way than unlocking in this page, and told as that.
 * Never the usual way: the server sees the passphrase and what is opened, in the memory of one process.
 */

import { useRef, useState } from "preact/hooks";
import { getJson } from "../api/client";
import { navigate, query } from "../app/router";
import { Button, Field, Loading, Notice, toast, Trouble } from "../ui/parts";
import { useLoad } from "../ui/useLoad";
import { unlockWanted } from "./current";
import { unlockOnServer } from "./onServer";
import { PurposeField, purposeFault, takePassphrase, TimeBox } from "./parts";
import { USUAL_MINUTES } from "./unlocking";

interface Person {
  readonly person: string;
  readonly agents: readonly { readonly agent_id: string; readonly computer: string }[];
}

const STREAMS = [
  ["email", "Emails"],
  ["keystrokes", "Terminals"],
  ["screen", "Text on screens"],
] as const;
const SPANS = [
  [3_600_000, "the last hour"],
  [86_400_000, "the last 24 hours"],
  [7 * 86_400_000, "the last 7 days"],
] as const;

export function OnServer(props: { back: () => void }) {
  const { data, error, again } = useLoad(
    (signal) => getJson<{ people: Person[] }>("/recordings/people", { limit: 500 }, signal),
    [],
  );
  return (
    <>
      <Notice tone="warn">
        The server opens the key with your passphrase and reads what is in scope, in the memory of one process that ends
        afterwards. Unlock in this page instead if you have the key file.
      </Notice>
      {error !== undefined && <Trouble error={error} again={again} />}
      {data ? <Wish people={data.people} /> : !error && <Loading />}
      <p class="other-way">
        <Button small kind="plain" onClick={props.back}>
          Unlock in this page instead
        </Button>
      </p>
    </>
  );
}

function Wish(props: { people: readonly Person[] }) {
  const form = useRef<HTMLFormElement>(null);
  const passphrase = useRef<HTMLInputElement>(null);
  const purpose = useRef<HTMLTextAreaElement>(null!);
  const minutes = useRef(USUAL_MINUTES as number);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const submit = async (event: Event) => {
    event.preventDefault();
    const chosen = new FormData(form.current!);
    const said = purpose.current.value.trim();
    setFault(purposeFault(said));
    const who = props.people.find((one) => one.person === chosen.get("person"));
    if (purposeFault(said) || !who || busy) return;
    setBusy(true);
    setError(undefined);
    const untilMs = Date.now();
    const sinceMs = untilMs - Number(chosen.get("span"));
    const streams = chosen.getAll("stream") as string[];
    const wish = { ...who, streams, sinceMs, untilMs, purpose: said, minutes: minutes.current };
    try {
      const secret = takePassphrase(passphrase.current!);
      const count = await unlockOnServer({ ...wish, passphrase: secret }, new AbortController().signal);
      toast(count ? `${count} texts were opened.` : "There is no text in this scope.", count ? "good" : "warn");
      unlockWanted.value = false;
      navigate(`/search?${new URLSearchParams({ person: who.person, where: "sealed" })}`);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <form ref={form} class="stack unlocking" onSubmit={(event) => void submit(event)}>
      <Field label="Whose recordings">
        {(ids) => (
          <select {...ids} name="person" defaultValue={query.peek().get("person") ?? undefined}>
            {props.people.map(({ person }) => (
              <option key={person}>{person}</option>
            ))}
          </select>
        )}
      </Field>
      <fieldset class="time-box">
        <legend>What</legend>
        {STREAMS.map(([name, title]) => (
          <label key={name}>
            <input type="checkbox" name="stream" value={name} defaultChecked={name !== "screen"} />
            {title}
          </label>
        ))}
      </fieldset>
      <Field label="Recorded in">
        {(ids) => (
          <select {...ids} name="span">
            {SPANS.map(([length, title]) => (
              <option key={title} value={length}>
                {title}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Passphrase of the key">
        {(ids) => <input {...ids} ref={passphrase} type="password" autocomplete="off" spellcheck={false} />}
      </Field>
      <PurposeField input={purpose} fault={fault} />
      <TimeBox chosen={USUAL_MINUTES} choose={(value) => (minutes.current = value)} />
      {error !== undefined && <Trouble error={error} />}
      <div class="actions">
        <Button onClick={() => (unlockWanted.value = false)}>Cancel</Button>
        <Button kind="primary" type="submit" disabled={busy || !props.people.length}>
          {busy ? "The server opens it" : "Open on the server"}
        </Button>
      </div>
    </form>
  );
}
