/**
 * Who seals to what: assignments as they are wished, and key sets as an officer signed them.
 * Never signs: what is assigned here changes nothing until an officer signs it on a machine of theirs.
 */

import { useState } from "preact/hooks";
import { getJson, postJson } from "../../api/client";
import { may } from "../../app/session";
import { Badge, Button, Empty, Loading, Notice, Table, Time, Trouble, toast } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { scopeOf, type Assignment, type Done, type KeySet, type KeysAnswer, type SetsAnswer } from "./answers";
import { AssignDialog, GroupDialog } from "./AssignForms";
import { marksOf } from "./KekDetail";

export function Sets(props: { keys: KeysAnswer; changed: () => void }) {
  const loaded = useLoad((signal) => getJson<SetsAnswer>("/keys/sets", {}, signal), []);
  const [dialog, setDialog] = useState<"assign" | "group">();
  const assignments = props.keys.keys.flatMap((kek) => kek.assignments);
  if (loaded.error !== undefined && !loaded.data) return <Trouble error={loaded.error} again={loaded.again} />;
  if (!loaded.data) return <Loading />;
  const changed = () => {
    props.changed();
    loaded.again();
  };
  return (
    <div class="stack">
      <Notice tone="sealed">
        <p>
          Agents believe what an officer signed, not this page. After a change an officer runs, with their own signing key:
        </p>
        <pre>{loaded.data.sign}</pre>
        <p class="quiet">{loaded.data.adopted}</p>
      </Notice>
      <section aria-labelledby="wished">
        <div class="row middle spread">
          <h2 id="wished">Assigned</h2>
          {may("manage_keys") && (
            <div class="row">
              <Button small onClick={() => setDialog("group")}>
                Change a group
              </Button>
              <Button small kind="primary" onClick={() => setDialog("assign")}>
                Assign a key
              </Button>
            </div>
          )}
        </div>
        <Assigned rows={assignments} changed={changed} />
      </section>
      <Groups groups={loaded.data.groups} />
      <Signed answer={loaded.data} />
      {dialog === "assign" && <AssignDialog keys={props.keys} close={() => setDialog(undefined)} changed={changed} />}
      {dialog === "group" && <GroupDialog close={() => setDialog(undefined)} changed={changed} />}
    </div>
  );
}

function Assigned(props: { rows: readonly Assignment[]; changed: () => void }) {
  const [error, setError] = useState<unknown>();
  if (!props.rows.length) {
    return (
      <Empty title="Nothing is assigned">
        <p>End-to-end streams are sealed to the key file on each endpoint, if there is one.</p>
      </Empty>
    );
  }
  const take = async (row: Assignment) => {
    setError(undefined);
    try {
      const { kek, scope, subject, stream } = row;
      const done = await postJson<Done>("/keys/assignments", { kek, scope, subject, streams: [stream], remove: true });
      toast(done.says);
      props.changed();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <>
      {error !== undefined && <Trouble error={error} />}
      <div class="card flush">
        <Table
          label="Assignments"
          rows={props.rows}
          id={(row) => `${row.kek} ${row.scope} ${row.subject} ${row.stream}`}
          columns={[
            { title: "Stream", show: (row) => row.stream },
            { title: "Of", show: scopeOf },
            { title: "Sealed to", show: (row) => row.kek },
            { title: "How", show: marksOf },
            {
              title: "Action",
              show: (row) =>
                may("manage_keys") && (
                  <Button small aria-label={`Take ${row.kek} from ${row.stream} of ${scopeOf(row)}`} onClick={() => void take(row)}>
                    Take back
                  </Button>
                ),
            },
          ]}
        />
      </div>
    </>
  );
}

function Groups(props: { groups: Record<string, string[]> }) {
  const rows = Object.entries(props.groups);
  if (!rows.length) return null;
  return (
    <section aria-labelledby="groups">
      <h2 id="groups">Groups of endpoints</h2>
      <div class="card flush">
        <Table
          label="Groups"
          rows={rows}
          id={([name]) => name}
          columns={[
            { title: "Group", show: ([name]) => name },
            { title: "Members", show: ([, members]) => members.join(", ") },
          ]}
        />
      </div>
    </section>
  );
}

function Signed(props: { answer: SetsAnswer }) {
  const { newest, versions } = props.answer;
  if (!versions.length) {
    return (
      <section aria-labelledby="signed">
        <h2 id="signed">Signed</h2>
        <p class="quiet">No officer has signed a key set yet.</p>
      </section>
    );
  }
  return (
    <section aria-labelledby="signed">
      <h2 id="signed">Signed: version {versions[0]!.version} is in force</h2>
      <div class="stack">
        {newest.map((one, at) => (
          <SetCard key={at} set={one} />
        ))}
        <div class="card flush">
          <Table
            label="Versions"
            rows={versions}
            id={(row) => String(row.version)}
            columns={[
              { title: "Version", number: true, show: (row) => row.version },
              { title: "Sets", number: true, show: (row) => row.sets },
              { title: "Signed by", show: (row) => row.signer },
              { title: "When", show: (row) => <Time ms={row.made_at_ms} /> },
            ]}
          />
        </div>
      </div>
    </section>
  );
}

function SetCard(props: { set: KeySet }) {
  const { set } = props;
  const names = set.agents.map((one) => one.computer || one.id);
  return (
    <div class="card">
      <h3>{names.length ? `${names.slice(0, 6).join(", ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}` : "Agents that no set names"}</h3>
      {set.problem && <Notice tone="bad">Agents refuse it: {set.problem}</Notice>}
      <dl class="facts">
        {set.streams.map((stream) => (
          <>
            <dt>{stream.stream}</dt>
            <dd>
              {stream.keks.join(", ")} {stream.bound && <Badge tone="sealed">always end to end</Badge>}
            </dd>
          </>
        ))}
      </dl>
      {!set.streams.length && <p class="quiet">No stream is spoken of.</p>}
    </div>
  );
}
