/**
 * Having the server open what is sealed, where the account may: another way than unlocking in this page, and told as that.
 * Never the usual way: the server sees the passphrase and what is opened, in the memory of one process.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { getJson } from "../api/client";
import { query } from "../app/router";
import { formatClock } from "../ui/format";
import { Button, Field, Loading, Notice, Trouble } from "../ui/parts";
import { useLoad } from "../ui/useLoad";
import { unlockWanted } from "./current";
import { MoreKeys } from "./MoreKeys";
import { askAgain, PurposeField, purposeFault, takePassphrase, TimeBox } from "./parts";
import { USUAL_MINUTES } from "./unlocking";
import { useServerUnlock, watched, type Steps } from "./useServerUnlock";

interface Agent {
  readonly agent_id: string;
  readonly computer: string;
  readonly first_seen_ms: number;
  readonly last_seen_ms: number;
}

interface Person {
  readonly person: string;
  readonly agents: readonly Agent[];
}

/** As many as one unlock takes. */
const MOST_AGENTS = 64;

const STREAMS = [
  ["email", "Emails"],
  ["keystrokes", "Terminals"],
  ["screen", "Screens"],
] as const;
const HOUR_MS = 3_600_000;

interface Choice {
  readonly title: string;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** What may be asked for; in the player first what is around its moment. */
function choicesOf(nowMs: number): Choice[] {
  const last = (hours: number, title: string) => ({ title, sinceMs: nowMs - hours * HOUR_MS, untilMs: nowMs });
  const choices = [last(1, "the last hour"), last(24, "the last 24 hours"), last(7 * 24, "the last 7 days")];
  const at = watched()?.at;
  if (!at) return choices;
  const around = (title: string, ms: number) => ({ title: `${title} around ${formatClock(at)}`, sinceMs: Math.max(0, Math.floor(at - ms / 2)), untilMs: Math.ceil(at + ms / 2) });
  return [around("the hour", HOUR_MS), around("the 10 minutes", HOUR_MS / 6), around("the 24 hours", 24 * HOUR_MS), ...choices];
}

/** The recorders that may have something of that time, those that were seen last. */
function agentsIn({ agents }: Person, { sinceMs, untilMs }: Choice): Agent[] {
  const there = agents.filter((one) => one.first_seen_ms - 24 * HOUR_MS < untilMs && one.last_seen_ms + HOUR_MS > sinceMs);
  return [...(there.length ? there : agents)].sort((one, other) => other.last_seen_ms - one.last_seen_ms).slice(0, MOST_AGENTS);
}

export function OnServer(props: { back: () => void }) {
  const { data, error, again } = useLoad(
    (signal) => getJson<{ people: Person[] }>("/recordings/people", { limit: 500 }, signal),
    [],
  );
  const steps = useServerUnlock();
  const { unlock } = steps;
  return (
    <>
      {!unlock && (
        <Notice tone="warn">
          The server opens the key with your passphrase and reads what is in scope, in the memory of one process that ends
          afterwards. Unlock in this page instead if you have the key file.
        </Notice>
      )}
      {error !== undefined && <Trouble error={error} again={again} />}
      {unlock && <MoreKeys unlock={unlock} releasing={steps.busy} release={steps.release} />}
      {data ? <Wish people={data.people} steps={steps} /> : !error && <Loading />}
      {!unlock && (
        <p class="other-way">
          <Button small kind="plain" onClick={props.back}>
            Unlock in this page instead
          </Button>
        </p>
      )}
    </>
  );
}

/** What is asked for once: hidden while the unlock goes on, and as it was typed when that is lost. */
function Wish(props: { people: readonly Person[]; steps: Steps }) {
  const { unlock, busy, error, begin } = props.steps;
  const form = useRef<HTMLFormElement>(null);
  const passphrase = useRef<HTMLInputElement>(null);
  const purpose = useRef<HTMLTextAreaElement>(null!);
  const minutes = useRef(USUAL_MINUTES as number);
  const [fault, setFault] = useState<string | undefined>(undefined);
  const [choices] = useState(() => choicesOf(Date.now()));
  useEffect(() => {
    if (error !== undefined) askAgain(passphrase.current);
  }, [error]);
  const submit = (event: Event) => {
    event.preventDefault();
    const chosen = new FormData(form.current!);
    const said = purpose.current.value.trim();
    setFault(purposeFault(said));
    const who = props.people.find((one) => one.person === chosen.get("person"));
    if (purposeFault(said) || !who || busy) return;
    const span = choices[Number(chosen.get("span"))]!;
    const streams = chosen.getAll("stream") as string[];
    const scope = { person: who.person, agents: agentsIn(who, span), streams, sinceMs: span.sinceMs, untilMs: span.untilMs };
    void begin({ ...scope, purpose: said, minutes: minutes.current }, takePassphrase(passphrase.current!));
  };
  return (
    <form ref={form} class="stack unlocking" hidden={unlock !== undefined} onSubmit={submit}>
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
            <input type="checkbox" name="stream" value={name} defaultChecked={name !== "screen" || watched() !== undefined} />
            {title}
          </label>
        ))}
      </fieldset>
      <Field label="Recorded in">
        {(ids) => (
          <select {...ids} name="span">
            {choices.map(({ title }, number) => (
              <option key={title} value={number}>
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
