/** What narrows a search: people, places, kinds, applications and time, with how many results each has. */

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { formatNumber, fromLocalInput, toLocalInput } from "../../ui/format";
import { Button, Field } from "../../ui/parts";
import { KINDS, type Facet, type Facets } from "./answer";
import { isFiltered, ORDERS, orderOf, TIMES, toggled, type Asked, type Filter, type Order, type Preset } from "./asked";

const TITLES: Record<Filter, string> = {
  person: "Person",
  team: "Team",
  endpoint: "Computer",
  stream: "Kind",
  application: "Application",
};
/** What the server calls the facet and the suggestions of a filter. */
const FACETS: Record<Filter, keyof Omit<Facets, "days"> | undefined> = {
  person: "person",
  team: undefined,
  endpoint: "computer",
  stream: "kind",
  application: "application",
};
const SUGGESTED: Record<Filter, string | undefined> = {
  person: "person",
  team: "team",
  endpoint: "computer",
  stream: undefined,
  application: "application",
};
const ALL_KINDS = ["screen", "terminal", "email", "window"];

type Change = (asked: Partial<Asked>) => void;

export function Filters(props: { asked: Asked; facets: Facets | undefined; change: Change }) {
  const { asked, change } = props;
  return (
    <div class="filters">
      {(Object.keys(TITLES) as Filter[]).map((name) => (
        <ValueFilter key={name} name={name} chosen={asked[name]} facets={props.facets} choose={(values) => change({ [name]: values })} />
      ))}
      <TimeFilter asked={asked} change={change} />
      <select aria-label="Order" value={orderOf(asked)} onChange={(event) => change({ order: event.currentTarget.value as Order })}>
        {Object.entries(ORDERS).map(([order, title]) => (
          <option key={order} value={order}>
            {title}
          </option>
        ))}
      </select>
      {isFiltered(asked) && (
        <Button small kind="plain" onClick={() => change(NO_FILTERS)}>
          Clear filters
        </Button>
      )}
    </div>
  );
}

export const NO_FILTERS: Partial<Asked> = {
  person: [], team: [], endpoint: [], stream: [], application: [], when: "", sinceMs: undefined, untilMs: undefined,
};

/** A button that opens what can be chosen; another click, Escape or going elsewhere closes it. */
function ValueFilter(props: {
  name: Filter;
  chosen: readonly string[];
  facets: Facets | undefined;
  choose: (values: readonly string[]) => void;
}) {
  const { name, chosen, choose } = props;
  const element = useRef<HTMLDetailsElement>(null);
  const [open, setOpen] = useState(false);
  const close = () => element.current && (element.current.open = false);
  const leave = (event: FocusEvent) => {
    if (!element.current!.contains(event.relatedTarget as Node | null) && event.relatedTarget) close();
  };
  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => !element.current!.contains(event.target as Node) && close();
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [open]);
  const escape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !open) return;
    event.preventDefault();
    close();
    element.current!.querySelector("summary")!.focus();
  };
  const shown = chosen.map((value) => nameOf(name, value));
  return (
    <details ref={element} class="filter" onToggle={(event) => setOpen(event.currentTarget.open)} onFocusOut={leave} onKeyDown={escape}>
      <summary class={`button small ${chosen.length ? "set" : ""}`}>
        <span class="chosen-values">{shown.length ? `${TITLES[name]}: ${shown.join(", ")}` : TITLES[name]}</span>
      </summary>
      {open && <Values name={name} chosen={chosen} facets={props.facets} choose={choose} />}
    </details>
  );
}

function Values(props: { name: Filter; chosen: readonly string[]; facets: Facets | undefined; choose: (values: readonly string[]) => void }) {
  const { name, chosen, choose } = props;
  const [typed, setTyped] = useState("");
  const suggested = useSuggestions(name, typed);
  const facet = FACETS[name];
  const counted = suggested ?? (facet ? (props.facets?.[facet] ?? []) : []);
  const known = name === "stream" ? withAll(counted, ALL_KINDS) : counted;
  const listed = typed ? known : withAll(known, chosen);
  const field = SUGGESTED[name];
  return (
    <div class="values" role="group" aria-label={TITLES[name]}>
      {field && (
        <input
          type="text"
          aria-label={`Find by name: ${TITLES[name]}`}
          placeholder="Type a name"
          value={typed}
          autocomplete="off"
          onInput={(event) => setTyped(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !typed.trim()) return;
            choose([...new Set([...chosen, typed.trim()])]);
            setTyped("");
          }}
        />
      )}
      {listed.map(({ value, count }) => (
        <label key={value}>
          <input type="checkbox" checked={chosen.includes(value)} onChange={() => choose(toggled(chosen, value))} />
          <span class="name">{nameOf(name, value)}</span>
          {count >= 0 && <span class="quiet">{formatNumber(count)}</span>}
        </label>
      ))}
      {!listed.length && <p class="quiet">{typed ? "Nothing begins like that. Enter takes it as it is." : "Type a name."}</p>}
    </div>
  );
}

/** `counted`, and what is not in it without a number. */
function withAll(counted: readonly Facet[], values: readonly string[]): Facet[] {
  const have = new Set(counted.map((one) => one.value));
  return [...counted, ...values.filter((value) => !have.has(value)).map((value) => ({ value, count: -1 }))];
}

function useSuggestions(name: Filter, typed: string): readonly Facet[] | undefined {
  const [values, setValues] = useState<readonly Facet[] | undefined>(undefined);
  const field = SUGGESTED[name];
  const always = name === "team"; // has no facet
  useEffect(() => {
    if (!field || (!typed && !always)) {
      setValues(undefined);
      return;
    }
    const aborter = new AbortController();
    const ask = () =>
      getJson<{ values: Facet[] }>("/search/suggest", { field, prefix: typed, limit: 10 }, aborter.signal).then(
        (answer) => setValues(answer.values),
        () => undefined, // the name can be typed all the same
      );
    const timer = setTimeout(() => void ask(), typed ? 150 : 0);
    return () => {
      clearTimeout(timer);
      aborter.abort();
    };
  }, [field, typed]);
  return values;
}

function nameOf(filter: Filter, value: string): string {
  return filter === "stream" ? (KINDS[value] ?? value) : value;
}

function TimeFilter(props: { asked: Asked; change: Change }) {
  const { asked, change } = props;
  const id = useId();
  const pick = (value: string) => {
    if (value !== "range") change({ when: value as Preset | "", sinceMs: undefined, untilMs: undefined });
    else change({ when: "range", sinceMs: startOfDay(), untilMs: undefined });
  };
  return (
    <>
      <select id={id} class={asked.when ? "set" : ""} aria-label="Time" value={asked.when} onChange={(event) => pick(event.currentTarget.value)}>
        <option value="">Any time</option>
        {Object.entries(TIMES).map(([when, [title]]) => (
          <option key={when} value={when}>
            {title}
          </option>
        ))}
        <option value="range">Between…</option>
      </select>
      {asked.when === "range" && (
        <span class="between">
          <Moment label="From" ms={asked.sinceMs} set={(sinceMs) => change({ when: "range", sinceMs })} />
          <Moment label="Until" ms={asked.untilMs} set={(untilMs) => change({ when: "range", untilMs })} />
        </span>
      )}
    </>
  );
}

function Moment(props: { label: string; ms: number | undefined; set: (ms: number | undefined) => void }) {
  return (
    <Field label={props.label}>
      {(ids) => (
        <input
          {...ids}
          type="datetime-local"
          value={props.ms === undefined ? "" : toLocalInput(props.ms)}
          onChange={(event) => props.set(fromLocalInput(event.currentTarget.value))}
        />
      )}
    </Field>
  );
}

function startOfDay(): number {
  return new Date().setHours(0, 0, 0, 0);
}
