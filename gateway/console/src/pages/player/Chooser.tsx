/** Whose recordings to watch: the people that the account may see, by name or computer. */

import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { Link } from "../../app/router";
import type { Person } from "../../player/answers";
import { Badge, Empty, Field, Loading, PageHead, Table, Time, Trouble, type Column } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";

const STREAMS: Record<string, string> = {
  screen: "screen", keystrokes: "terminal", email: "mail", activity: "activity", audio: "sound",
};

const COLUMNS: readonly Column<Person>[] = [
  { title: "Person", show: (row) => <Link href={`/player?person=${encodeURIComponent(row.person)}`}>{row.person}</Link> },
  { title: "Computers", show: (row) => row.computers.join(", ") },
  { title: "Recorded", show: (row) => row.streams.map((stream) => STREAMS[stream]).filter(Boolean).join(", ") },
  { title: "Last seen", show: (row) => (row.connected ? <Badge tone="good">Connected</Badge> : <Time ms={row.last_seen_ms} age />) },
];

export function Chooser() {
  const typed = useSignal("");
  const [sought, setSought] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSought(typed.value.trim()), 200);
    return () => clearTimeout(timer);
  }, [typed.value]);
  const { data, error, again } = useLoad(
    (signal) => getJson<{ people: Person[]; more: boolean }>("/recordings/people", { query: sought, limit: 100 }, signal),
    [sought],
  );
  return (
    <>
      <PageHead title="Player" />
      <div class="stack">
        <Field label="Person or computer">
          {(ids) => <input {...ids} type="search" autocomplete="off" value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)} />}
        </Field>
        {error !== undefined && <Trouble error={error} again={again} />}
        {!data && !error && <Loading what="Loading people" />}
        {data && !data.people.length && <Nobody sought={sought} />}
        {data && data.people.length > 0 && (
          <div class="card flush">
            <Table label="People" columns={COLUMNS} rows={data.people} id={(row) => row.person} />
          </div>
        )}
        {data?.more && <p class="quiet">There are more: type a part of the name.</p>}
      </div>
    </>
  );
}

function Nobody({ sought }: { sought: string }) {
  if (sought) {
    return (
      <Empty title="Nobody found">
        <p>No person or computer that you may see has a name that begins with “{sought}”.</p>
      </Empty>
    );
  }
  return (
    <Empty title="No recordings yet">
      <p>People appear here once an agent was enrolled for them and has connected.</p>
    </Empty>
  );
}
