/** Fields that both ways of unlocking ask for. Never hold a secret. */

import type { RefObject } from "preact";
import { useId, useState } from "preact/hooks";
import { Field } from "../ui/parts";
import { utf8, type Bytes } from "../unlock/bytes";
import { LONGEST_PURPOSE, MINUTES, SHORTEST_PURPOSE } from "./unlocking";

/** What is wrong with a purpose, if something is. */
export function purposeFault(purpose: string): string | undefined {
  return purpose.length < SHORTEST_PURPOSE ? "Say why, in three letters or more: it is kept in the audit." : undefined;
}

export function PurposeField(props: { input: RefObject<HTMLTextAreaElement>; fault: string | undefined }) {
  return (
    <Field label="Purpose" hint="Such as the number of the case. It is kept in the audit, with your name." fault={props.fault}>
      {(ids) => <textarea {...ids} ref={props.input} rows={2} maxLength={LONGEST_PURPOSE} autocomplete="off" />}
    </Field>
  );
}

export function TimeBox(props: { chosen: number; choose: (minutes: number) => void }) {
  const [chosen, setChosen] = useState(props.chosen);
  const name = useId();
  const pick = (minutes: number) => {
    setChosen(minutes);
    props.choose(minutes);
  };
  return (
    <fieldset class="time-box">
      <legend>Locks itself after</legend>
      {MINUTES.map((minutes) => (
        <label key={minutes}>
          <input type="radio" name={name} checked={minutes === chosen} onChange={() => pick(minutes)} />
          {minutes} min
        </label>
      ))}
    </fieldset>
  );
}

/** The bytes in the field, which is empty then. */
export function takePassphrase(input: HTMLInputElement): Bytes {
  const bytes = utf8(input.value);
  input.value = "";
  return bytes;
}

/** What the next passphrase is for: it is tried on all that are closed. */
export function passphraseHint(closed: readonly string[]): string {
  const names = closed.join(", ");
  return closed.length > 1 ? `Tried on ${names}, and asked for again where it does not fit.` : `That of ${names}.`;
}

/** Where the next passphrase is typed, in sight with what stands beside it. */
export function askAgain(field: HTMLInputElement | null): void {
  field?.focus();
  field?.scrollIntoView({ block: "center" });
}
