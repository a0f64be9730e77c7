/** Working hours by team: shown to all who see reports, changed by those who may change teams. */

import { useState } from "preact/hooks";
import { deleteJson, getJson, putJson, withQuery } from "../../api/client";
import { may } from "../../app/session";
import { Button, Field, Loading, Notice, Trouble, toast } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { WEEKDAYS, type Choices, type Week } from "./answers";

const title = (week: Week) => week.team || "Everybody else";
const OPTIONS = Intl.supportedValuesOf("timeZone");

export function WeekView() {
  const weeks = useLoad((signal) => getJson<Week[]>("/reports/working-hours", {}, signal), []);
  const choices = useLoad((signal) => getJson<Choices>("/reports/choices", {}, signal), []);
  const [added, setAdded] = useState("");
  if (weeks.error) return <Trouble error={weeks.error} again={weeks.again} />;
  if (!weeks.data) return <Loading />;
  const change = may("accounts");
  const others = (choices.data?.teams ?? []).filter((team) => !weeks.data!.some((week) => week.team === team) && team !== added);
  const fresh = added && !weeks.data.some((week) => week.team === added) ? [{ ...weeks.data[0]!, team: added }] : [];
  return (
    <div class="stack">
      <p class="quiet">
        Overtime, days and rules go by these hours. A person goes by the first of their teams that has hours of its own, and else by those of everybody else.
        {!change && " An administrator changes them."}
      </p>
      {[...weeks.data, ...fresh].map((week) => (
        <section key={week.team} class="card" aria-label={`Working hours: ${title(week)}`}>
          <h2>{title(week)}</h2>
          {change ? <Editor week={week} saved={weeks.again} /> : <Told week={week} />}
        </section>
      ))}
      {change && others.length > 0 && (
        <Field label="Give a team hours of its own">
          {(ids) => (
            <select {...ids} value="" onChange={(event) => setAdded(event.currentTarget.value)}>
              <option value="">Choose a team</option>
              {others.map((team) => (
                <option key={team}>{team}</option>
              ))}
            </select>
          )}
        </Field>
      )}
    </div>
  );
}

function Told({ week }: { week: Week }) {
  return (
    <>
      <p>{week.time_zone}</p>
      <ul class="report-week">
        {week.hours.map((one) => (
          <li key={`${one.weekday} ${one.from_time}`}>
            {WEEKDAYS[one.weekday - 1]}, {one.from_time.slice(0, 5)} to {one.until_time.slice(0, 5)}
          </li>
        ))}
      </ul>
    </>
  );
}

function Editor(props: { week: Week; saved: () => void }) {
  const [week, setWeek] = useState(props.week);
  const [error, setError] = useState<unknown>();
  const path = withQuery("/reports/working-hours", { team: week.team });
  const act = async (work: () => Promise<unknown>, told: string) => {
    setError(undefined);
    try {
      await work();
      toast(told);
      props.saved();
    } catch (problem) {
      setError(problem);
    }
  };
  const save = (event: Event) => {
    event.preventDefault();
    void act(() => putJson(path, { time_zone: week.time_zone, hours: week.hours }), `Working hours of ${title(week)} are changed`);
  };
  const set = (at: number, change: Partial<Week["hours"][number]>) =>
    setWeek({ ...week, hours: week.hours.map((one, number) => (number === at ? { ...one, ...change } : one)) });
  return (
    <form class="stack" onSubmit={save}>
      <Field label="Time zone">
        {(ids) => (
          <select {...ids} value={week.time_zone} onChange={(event) => setWeek({ ...week, time_zone: event.currentTarget.value })}>
            {[...new Set(["UTC", week.time_zone, ...OPTIONS])].map((zone) => (
              <option key={zone}>{zone}</option>
            ))}
          </select>
        )}
      </Field>
      {week.hours.map((one, at) => (
        <div key={at} class="row report-span" role="group" aria-label={`Hours ${at + 1}`}>
          <Field label="Day">
            {(ids) => (
              <select {...ids} value={one.weekday} onChange={(event) => set(at, { weekday: Number(event.currentTarget.value) })}>
                {WEEKDAYS.map((name, number) => (
                  <option key={name} value={number + 1}>
                    {name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="From">
            {(ids) => <input {...ids} type="time" required value={one.from_time.slice(0, 5)} onChange={(event) => set(at, { from_time: event.currentTarget.value })} />}
          </Field>
          <Field label="To">
            {(ids) => <input {...ids} type="time" required value={one.until_time.slice(0, 5)} onChange={(event) => set(at, { until_time: event.currentTarget.value })} />}
          </Field>
          <Button kind="plain" aria-label={`Take hours ${at + 1} out`} onClick={() => setWeek({ ...week, hours: week.hours.filter((_, number) => number !== at) })}>
            ✕
          </Button>
        </div>
      ))}
      {!week.hours.length && <Notice tone="warn">Without hours all activity is overtime.</Notice>}
      {Boolean(error) && <Trouble error={error} />}
      <div class="row">
        <Button onClick={() => setWeek({ ...week, hours: [...week.hours, { weekday: 1, from_time: "09:00", until_time: "17:30" }] })}>Add hours</Button>
        <Button kind="primary" type="submit">
          Save
        </Button>
        {week.team && (
          <Button kind="danger" onClick={() => void act(() => deleteJson(path), `${week.team} goes by the hours of everybody else`)}>
            Use those of everybody else
          </Button>
        )}
      </div>
    </form>
  );
}
