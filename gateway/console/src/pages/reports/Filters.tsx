/** What narrows a report: days, team, person, application. Never asks before a value is whole. */

import { useEffect, useId, useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { Button, Field } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { Choices } from "./answers";
import { changeScope, dateOf, dayCount, shifted, type Scope } from "./scope";

const SPANS = [
  [7, "7 days"],
  [14, "14 days"],
  [30, "30 days"],
  [90, "90 days"],
] as const;

export function Filters({ scope }: { scope: Scope }) {
  const choices = useLoad((signal) => getJson<Choices>("/reports/choices", {}, signal), []);
  const today = dateOf(Date.now());
  const withApplication = scope.view === "overview" || scope.view === "applications" || scope.view === "hours";
  return (
    <section class="card report-filters" aria-label="What the report is about">
      <div class="row spans" role="group" aria-label="Days">
        {SPANS.map(([days, title]) => (
          <Button
            key={days}
            small
            aria-pressed={scope.until === today && dayCount(scope) === days}
            onClick={() => changeScope({ since: shifted(today, 1 - days), until: today })}
          >
            {title}
          </Button>
        ))}
      </div>
      <Field label="From">
        {(ids) => <input {...ids} type="date" value={scope.since} max={scope.until} onChange={(event) => dated("since", event.currentTarget.value, scope)} />}
      </Field>
      <Field label="To">
        {(ids) => <input {...ids} type="date" value={scope.until} min={scope.since} max={today} onChange={(event) => dated("until", event.currentTarget.value, scope)} />}
      </Field>
      <Field label="Team">
        {(ids) => (
          <select {...ids} value={scope.teams[0] ?? ""} onChange={(event) => changeScope({ teams: chosen(event.currentTarget.value) })}>
            <option value="">All</option>
            {withValue(choices.data?.teams ?? [], scope.teams[0]).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        )}
      </Field>
      <Chosen label="Person" value={scope.persons[0] ?? ""} names={choices.data?.people ?? []} choose={(name) => changeScope({ persons: chosen(name) })} />
      {withApplication && (
        <Chosen label="Application" value={scope.application} names={[]} hint="* stands for anything" choose={(application) => changeScope({ application })} />
      )}
    </section>
  );
}

const chosen = (value: string) => (value ? [value] : []);
const withValue = (names: readonly string[], value: string | undefined) => (!value || names.includes(value) ? names : [value, ...names]);

function dated(which: "since" | "until", value: string, scope: Scope): void {
  if (!value) return;
  if (which === "since") changeScope({ since: value, until: value > scope.until ? value : scope.until });
  else changeScope({ until: value, since: value < scope.since ? value : scope.since });
}

/** A text with suggestions, taken when it is left or Enter is pressed. */
function Chosen(props: { label: string; value: string; names: readonly string[]; hint?: string; choose: (value: string) => void }) {
  const [text, setText] = useState(props.value);
  const list = useId();
  useEffect(() => setText(props.value), [props.value]);
  const take = () => text.trim() !== props.value && props.choose(text.trim());
  return (
    <Field label={props.label} {...(props.hint ? { hint: props.hint } : {})}>
      {(ids) => (
        <>
          <input
            {...ids}
            type="text"
            placeholder="All"
            list={list}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            onChange={take}
            onKeyDown={(event) => event.key === "Enter" && take()}
          />
          <datalist id={list}>
            {props.names.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}
