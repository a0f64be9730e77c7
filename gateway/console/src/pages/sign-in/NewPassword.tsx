/** A new password, typed twice. Never decides whether it is good enough: the server says. */

import type { Signal } from "@preact/signals";
import { Field } from "../../ui/parts";

export const LEAST = 12;

/** What is wrong with the two, before the server is asked. */
export function faultOf(password: string, again: string): string | undefined {
  if (password.length < LEAST) return `A password has at least ${LEAST} characters. A few words do well.`;
  if (password !== again) return "The two are not the same.";
  return undefined;
}

export function NewPassword(props: { password: Signal<string>; again: Signal<string>; fault: string | undefined; label?: string }) {
  const input = (value: Signal<string>) => ({
    type: "password" as const,
    autocomplete: "new-password",
    required: true,
    value,
    onInput: (event: Event) => (value.value = (event.currentTarget as HTMLInputElement).value),
  });
  return (
    <>
      <Field label={props.label ?? "Password"} hint={`At least ${LEAST} characters. A few words do well.`}>
        {(ids) => <input {...ids} {...input(props.password)} />}
      </Field>
      <Field label="The same again" fault={props.fault}>
        {(ids) => <input {...ids} {...input(props.again)} />}
      </Field>
    </>
  );
}
