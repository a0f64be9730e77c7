/** Teams of recorded people: made, filled, taken away. */

import { useSignal } from "@preact/signals";
import { deleteJson, postJson, putJson } from "../../api/client";
import { Button, Dialog, Empty, Field, Table, Trouble } from "../../ui/parts";
import { perform } from "../account/act";
import { withProof } from "../account/proof";
import { useSubmit } from "../sign-in/useSubmit";
import type { TeamRow, Teams } from "./model";

export function TeamList(props: { teams: Teams; changed: () => void }) {
  const editing = useSignal<TeamRow | "new" | undefined>(undefined);
  const add = (
    <Button kind="primary" onClick={() => (editing.value = "new")}>
      New team
    </Button>
  );
  return (
    <>
      {props.teams.teams.length ? (
        <>
          <div>{add}</div>
          <div class="card flush">
            <Table
              label="Teams"
              rows={props.teams.teams}
              id={(row) => row.name}
              columns={[
                { title: "Team", show: (row) => <strong>{row.name}</strong> },
                { title: "People", show: (row) => some(row.members) },
                { title: "Seen by", show: (row) => some(row.accounts) },
                { title: "Note", show: (row) => row.note },
                {
                  title: "Action",
                  show: (row) => (
                    <Button small aria-label={`Change ${row.name}`} onClick={() => (editing.value = row)}>
                      Change
                    </Button>
                  ),
                },
              ]}
            />
          </div>
        </>
      ) : (
        <Empty title="There is no team yet">
          <p>A team is a list of recorded people. An officer who is given a team sees its people and nobody else.</p>
          {add}
        </Empty>
      )}
      {editing.value && (
        <TeamDialog team={editing.value} people={props.teams.people} close={() => (editing.value = undefined)} changed={props.changed} />
      )}
    </>
  );
}

function some(names: readonly string[]): string {
  if (!names.length) return "nobody";
  return names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ");
}

function TeamDialog(props: { team: TeamRow | "new"; people: readonly string[]; close: () => void; changed: () => void }) {
  const known = props.team === "new" ? undefined : props.team;
  const name = useSignal(known?.name ?? "");
  const note = useSignal(known?.note ?? "");
  const members = useSignal((known?.members ?? []).join("\n"));
  const asked = useSignal(false);
  const done = () => {
    props.changed();
    props.close();
  };
  const form = useSubmit(async () => {
    const listed = members.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const body = { note: note.value, members: [...new Set(listed)] };
    await withProof(() =>
      known ? putJson(`/teams/${encodeURIComponent(known.name)}`, body) : postJson("/teams", { ...body, name: name.value.trim() }),
    );
    done();
  });
  const remove = () => perform(() => deleteJson(`/teams/${encodeURIComponent(known!.name)}`), "The team is no more.", done);
  const missing = props.people.filter((person) => !members.value.split("\n").some((line) => line.trim() === person));
  return (
    <Dialog title={known ? known.name : "New team"} close={props.close}>
      <form class="stack" onSubmit={form.submit}>
        {form.error !== undefined && <Trouble error={form.error} />}
        {!known && (
          <Field label="Name">
            {(ids) => (
              <input {...ids} type="text" required maxLength={64} value={name} onInput={(event) => (name.value = event.currentTarget.value)} />
            )}
          </Field>
        )}
        <Field label="Note">
          {(ids) => <input {...ids} type="text" maxLength={256} value={note} onInput={(event) => (note.value = event.currentTarget.value)} />}
        </Field>
        <Field label="People" hint="User names as agents tell them, one a line.">
          {(ids) => (
            <textarea {...ids} rows={6} spellcheck={false} value={members} onInput={(event) => (members.value = event.currentTarget.value)} />
          )}
        </Field>
        {missing.length > 0 && missing.length < 40 && (
          <div class="row middle">
            <span class="quiet">Add:</span>
            {missing.map((person) => (
              <Button key={person} small onClick={() => (members.value = `${members.value.trimEnd()}\n${person}`.trimStart())}>
                {person}
              </Button>
            ))}
          </div>
        )}
        <div class="actions">
          {known && (
            <Button kind="danger" onClick={() => (asked.value ? void remove() : (asked.value = true))}>
              {asked.value ? "Really delete it" : "Delete"}
            </Button>
          )}
          <Button kind="primary" type="submit" disabled={form.busy}>
            {known ? "Save" : "Make the team"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
