/** The conditions of a rule as fields. A list is met by any of its lines, the conditions all together. */

import { useState } from "preact/hooks";
import { Button, Field } from "../../ui/parts";
import { WEEKDAYS } from "../reports/answers";
import { UNITS, WINDOWS, ZONE, lacks, type Conditions, type Measure, type TimeSpan } from "./answers";

type ListName = "words" | "applications" | "titles" | "persons" | "teams" | "endpoints";

const STREAMS = [
  ["screen", "Screens"],
  ["terminal", "Terminals"],
  ["email", "Emails"],
  ["window", "Window titles"],
] as const;

interface Props {
  conditions: Conditions;
  change: (change: Partial<Conditions>) => void;
}

export function ConditionFields(props: Props) {
  const { conditions, change } = props;
  return (
    <>
      <section class="card stack" aria-labelledby="what">
        <h2 id="what">What</h2>
        <Lines {...props} name="words" label="Words or phrases" hint={'Any line; all words of a line. "final notice" is a phrase, invoic* a beginning.'} />
        <div class="grid">
          <Lines {...props} name="applications" label="Applications" hint="Any line; * stands for anything." />
          <Lines {...props} name="titles" label="Window titles or subjects" hint="Any line; * stands for anything." />
        </div>
        {!lacks(conditions, "streams") && (
          <fieldset class="rule-choices">
            <legend>Only from</legend>
            {STREAMS.map(([name, title]) => (
              <label key={name}>
                <input
                  type="checkbox"
                  checked={conditions.streams.includes(name)}
                  onChange={(event) =>
                    change({ streams: event.currentTarget.checked ? [...conditions.streams, name] : conditions.streams.filter((one) => one !== name) })
                  }
                />
                {title}
              </label>
            ))}
          </fieldset>
        )}
      </section>
      <section class="card stack" aria-labelledby="who">
        <h2 id="who">Who and where</h2>
        <div class="grid">
          <Lines {...props} name="persons" label="People" hint="User names; * stands for anything." />
          <Lines {...props} name="teams" label="Teams" hint="Names of teams." />
          <Lines {...props} name="endpoints" label="Endpoints" hint="Names of computers; * stands for anything." />
        </div>
      </section>
      <section class="card stack" aria-labelledby="when">
        <h2 id="when">When</h2>
        <label>
          <input
            type="checkbox"
            checked={conditions.outside_working_hours}
            onChange={(event) => change({ outside_working_hours: event.currentTarget.checked })}
          />
          Outside the working hours of the person's team
        </label>
        <Times {...props} />
      </section>
      <section class="card stack" aria-labelledby="how-much">
        <h2 id="how-much">How much</h2>
        <VolumeFields {...props} />
      </section>
    </>
  );
}

function Lines(props: Props & { name: ListName; label: string; hint: string }) {
  const { conditions, change, name } = props;
  const [text, setText] = useState(conditions[name].join("\n"));
  if (lacks(conditions, name)) return null;
  return (
    <Field label={props.label} hint={props.hint}>
      {(ids) => (
        <textarea
          {...ids}
          rows={2}
          class="rule-lines"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            change({ [name]: linesOf(event.currentTarget.value) });
          }}
        />
      )}
    </Field>
  );
}

const linesOf = (text: string) => [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];

function Times({ conditions, change }: Props) {
  const set = (at: number, span: Partial<TimeSpan>) =>
    change({ times: conditions.times.map((one, number) => (number === at ? { ...one, ...span } : one)) });
  return (
    <>
      {conditions.times.map((span, at) => (
        <div key={at} class="rule-time" role="group" aria-label={`Time ${at + 1}`}>
          <div class="row" role="group" aria-label="Days">
            {WEEKDAYS.map((name, number) => {
              const day = number + 1;
              const on = span.weekdays.includes(day);
              return (
                <Button
                  key={name}
                  small
                  aria-label={`${name.slice(0, 2)}, ${name}`}
                  aria-pressed={on}
                  onClick={() => set(at, { weekdays: on ? span.weekdays.filter((one) => one !== day) : [...span.weekdays, day].sort() })}
                >
                  {name.slice(0, 2)}
                </Button>
              );
            })}
          </div>
          <div class="row">
            <Field label="From">
              {(ids) => <input {...ids} type="time" required value={span.from_time.slice(0, 5)} onInput={(event) => set(at, { from_time: event.currentTarget.value })} />}
            </Field>
            <Field label="To">
              {(ids) => <input {...ids} type="time" required value={span.until_time.slice(0, 5)} onInput={(event) => set(at, { until_time: event.currentTarget.value })} />}
            </Field>
            <Button kind="plain" aria-label={`Take time ${at + 1} out`} onClick={() => change({ times: conditions.times.filter((_, number) => number !== at) })}>
              ✕
            </Button>
          </div>
        </div>
      ))}
      <div class="row">
        <Button onClick={() => change({ times: [...conditions.times, { weekdays: [1, 2, 3, 4, 5], from_time: "20:00", until_time: "06:00" }] })}>Add a time</Button>
        {conditions.times.length > 0 && (
          <Field label="Time zone">
            {(ids) => (
              <select {...ids} value={conditions.time_zone} onChange={(event) => change({ time_zone: event.currentTarget.value })}>
                {[...new Set(["UTC", ZONE, conditions.time_zone, ...Intl.supportedValuesOf("timeZone")])].map((zone) => (
                  <option key={zone}>{zone}</option>
                ))}
              </select>
            )}
          </Field>
        )}
      </div>
    </>
  );
}

function VolumeFields({ conditions, change }: Props) {
  const { volume } = conditions;
  const measure = volume?.measure ?? "";
  const choose = (name: string) =>
    change({ volume: name ? { more_than: 30, within_minutes: 60, ...volume, measure: name as Measure } : null });
  return (
    <div class="row">
      <Field label="An alert for">
        {(ids) => (
          <select {...ids} value={measure} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">each match</option>
            <option value="documents">many documents of a person</option>
            <option value="active_minutes">much time in an application</option>
            <option value="mebibytes">much recorded data</option>
          </select>
        )}
      </Field>
      {volume && (
        <>
          <Field label={`More than (${UNITS[volume.measure]})`}>
            {(ids) => (
              <input
                {...ids}
                type="number"
                min={volume.measure === "documents" ? 1 : 0.1}
                step="any"
                required
                value={volume.more_than}
                onInput={(event) => {
                  const number = event.currentTarget.valueAsNumber;
                  if (number > 0) change({ volume: { ...volume, more_than: number } });
                }}
              />
            )}
          </Field>
          <Field label="Within">
            {(ids) => (
              <select {...ids} value={volume.within_minutes} onChange={(event) => change({ volume: { ...volume, within_minutes: Number(event.currentTarget.value) } })}>
                {WINDOWS.map(([minutes, title]) => (
                  <option key={minutes} value={minutes}>
                    {title}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </>
      )}
    </div>
  );
}
