/** The filters of the audit: they stand in the address, so that what one sees can be shared. */

import { useSignal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";
import { getJson } from "../../api/client";
import { query, setQuery } from "../../app/router";
import { fromLocalInput, toLocalInput } from "../../ui/format";
import { Button, Field } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { actionWords, FILTERS } from "./model";

interface Names {
  actions: string[];
  actors: string[];
}

export function Filters() {
  const names = useLoad((signal) => getJson<Names>("/audit/names", {}, signal), []);
  const search = query.value;
  const [actor, person, target] = ["actor", "person", "target"].map((name) => search.get(name) ?? "") as [string, string, string];
  const texts = useSignal({ actor, person, target });
  const actors = useId();
  useEffect(() => {
    texts.value = { actor, person, target };
  }, [actor, person, target]); // somebody went back, or followed a link
  const apply = (event: Event) => {
    event.preventDefault();
    setQuery(texts.value, false);
  };
  const clear = () => {
    texts.value = { actor: "", person: "", target: "" };
    setQuery(Object.fromEntries([...FILTERS, "action"].map((name) => [name, undefined])), false);
  };
  const text = (name: "actor" | "person" | "target", label: string, list?: string) => (
    <Field label={label}>
      {(ids) => (
        <input
          {...ids}
          type="text"
          list={list}
          maxLength={256}
          value={texts.value[name]}
          onInput={(event) => (texts.value = { ...texts.value, [name]: event.currentTarget.value })}
          onChange={apply}
        />
      )}
    </Field>
  );
  return (
    <form class="card grid audit-filters" onSubmit={apply} aria-label="Filters">
      {text("actor", "Who", actors)}
      <datalist id={actors}>
        {names.data?.actors.map((name) => <option key={name} value={name} />)}
      </datalist>
      <Field label="Did">
        {(ids) => (
          <select {...ids} value={search.get("action") ?? ""} onChange={(event) => setQuery({ action: event.currentTarget.value }, false)}>
            <option value="">anything</option>
            {names.data?.actions.map((name) => (
              <option key={name} value={name}>
                {actionWords(name)}
              </option>
            ))}
          </select>
        )}
      </Field>
      {text("person", "Recorded person")}
      {text("target", "To what")}
      <Field label="Outcome">
        {(ids) => (
          <select {...ids} value={search.get("outcome") ?? ""} onChange={(event) => setQuery({ outcome: event.currentTarget.value }, false)}>
            <option value="">any</option>
            {["done", "refused", "failed", "asked", "found", "granted", "added", "begun", "ended", "over", "broken_off"].map((name) => (
              <option key={name} value={name}>
                {name.replace("_", " ")}
              </option>
            ))}
          </select>
        )}
      </Field>
      <TimeField name="since_ms" label="From" />
      <TimeField name="until_ms" label="Until" />
      <div class="row">
        <Button type="submit">Apply</Button>
        <Button kind="plain" onClick={clear}>
          Clear
        </Button>
      </div>
    </form>
  );
}

function TimeField(props: { name: "since_ms" | "until_ms"; label: string }) {
  const ms = Number(query.value.get(props.name) ?? 0);
  return (
    <Field label={props.label}>
      {(ids) => (
        <input
          {...ids}
          type="datetime-local"
          value={ms ? toLocalInput(ms) : ""}
          onChange={(event) => setQuery({ [props.name]: String(fromLocalInput(event.currentTarget.value) ?? "") }, false)}
        />
      )}
    </Field>
  );
}
