/** Assigning a KEK and changing a group of endpoints. Never in force by itself: an officer signs. */

import { useState } from "preact/hooks";
import { postJson } from "../../api/client";
import { Button, Dialog, Empty, Field, Trouble, toast } from "../../ui/parts";
import type { Done, KeysAnswer } from "./answers";
import { ReasonField } from "./Rotation";

const STREAMS = ["screen", "keystrokes", "email"] as const;
const SUBJECTS = { default: "", group: "Name of the group", endpoint: "Name of the computer", agent: "Id of the agent" } as const;
type Scope = keyof typeof SUBJECTS;

export function AssignDialog(props: { keys: KeysAnswer; close: () => void; changed: () => void }) {
  const keks = props.keys.keys.filter((kek) => kek.purpose === "end_to_end" && kek.state === "active");
  const [kek, setKek] = useState(keks[0]?.name ?? "");
  const [scope, setScope] = useState<Scope>("default");
  const [subject, setSubject] = useState("");
  const [streams, setStreams] = useState<readonly string[]>(STREAMS);
  const [marks, setMarks] = useState({ break_glass: false, always: false, blind_index: true });
  const [reason, setReason] = useState("");
  const [error, setError] = useState<unknown>();
  if (!keks.length) {
    return (
      <Dialog title="Assign a key" close={props.close}>
        <Empty title="No end-to-end key is active">
          <p>Register the public half of one first.</p>
        </Empty>
      </Dialog>
    );
  }
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      const done = await postJson<Done>("/keys/assignments", { kek, scope, subject, streams, reason, ...marks });
      toast(`${done.says} ${done.next}`);
      props.changed();
      props.close();
    } catch (problem) {
      setError(problem);
    }
  };
  const flip = (stream: string) =>
    setStreams(streams.includes(stream) ? streams.filter((one) => one !== stream) : [...streams, stream]);
  const mark = (name: keyof typeof marks, label: string) => (
    <label>
      <input type="checkbox" checked={marks[name]} onChange={() => setMarks({ ...marks, [name]: !marks[name] })} />
      {label}
    </label>
  );
  return (
    <Dialog title="Assign a key" close={props.close}>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <div class="row">
          <Field label="Key">
            {(ids) => (
              <select {...ids} value={kek} onChange={(event) => setKek(event.currentTarget.value)}>
                {keks.map((one) => (
                  <option key={one.name}>{one.name}</option>
                ))}
              </select>
            )}
          </Field>
          <Field label="For">
            {(ids) => (
              <select {...ids} value={scope} onChange={(event) => setScope(event.currentTarget.value as Scope)}>
                <option value="default">everybody that nothing narrower names</option>
                <option value="group">a group of endpoints</option>
                <option value="endpoint">one computer</option>
                <option value="agent">one agent</option>
              </select>
            )}
          </Field>
        </div>
        {scope !== "default" && (
          <Field label={SUBJECTS[scope]}>
            {(ids) => <input {...ids} type="text" required value={subject} onInput={(event) => setSubject(event.currentTarget.value)} />}
          </Field>
        )}
        <fieldset class="choices">
          <legend>Streams</legend>
          {STREAMS.map((stream) => (
            <label key={stream}>
              <input type="checkbox" checked={streams.includes(stream)} onChange={() => flip(stream)} />
              {stream}
            </label>
          ))}
        </fieldset>
        <fieldset class="choices">
          <legend>How</legend>
          {mark("always", "end to end whatever the policy says")}
          {mark("break_glass", "a further key, for emergencies")}
          {mark("blind_index", "words may be indexed blindly")}
        </fieldset>
        <ReasonField value={reason} change={setReason} />
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={!streams.length}>
            Assign
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function GroupDialog(props: { close: () => void; changed: () => void }) {
  const [name, setName] = useState("");
  const [add, setAdd] = useState("");
  const [remove, setRemove] = useState("");
  const [error, setError] = useState<unknown>();
  const split = (text: string) => text.split(/[\s,]+/).filter(Boolean);
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      const done = await postJson<Done>("/keys/groups", { name, add: split(add), remove: split(remove) });
      toast(`${done.says} ${done.next}`);
      props.changed();
      props.close();
    } catch (problem) {
      setError(problem);
    }
  };
  const text = (label: string, hint: string, value: string, change: (to: string) => void, required = false) => (
    <Field label={label} hint={hint}>
      {(ids) => <input {...ids} type="text" required={required} value={value} onInput={(event) => change(event.currentTarget.value)} />}
    </Field>
  );
  return (
    <Dialog title="Change a group of endpoints" close={props.close}>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        {text("Group", "A new name makes a new group", name, setName, true)}
        {text("Add", "Names of computers or ids of agents, separated by spaces", add, setAdd)}
        {text("Take out", "Likewise", remove, setRemove)}
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={!add.trim() && !remove.trim()}>
            Change
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
