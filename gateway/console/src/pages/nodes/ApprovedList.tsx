/** Which addresses the ports between nodes serve, and where each stands. Never changes what the settings or a file say. */

import { useState } from "preact/hooks";
import { getJson, postJson } from "../../api/client";
import { may } from "../../app/session";
import { Badge, Button, Field, Loading, Table, Trouble, toast } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { Approved, ApprovedAnswer } from "./answers";

const PLACES = { settings: "settings of this node", file: "file of this node", table: "table of all nodes" } as const;

export function ApprovedList() {
  const loaded = useLoad((signal) => getJson<ApprovedAnswer>("/nodes/approved", {}, signal), []);
  const [network, setNetwork] = useState("");
  const [note, setNote] = useState("");
  const [error, setError] = useState<unknown>();
  if (loaded.error !== undefined && !loaded.data) return <Trouble error={loaded.error} again={loaded.again} />;
  if (!loaded.data) return <Loading />;
  const change = async (path: string, body: { network: string; note?: string }, done: string) => {
    setError(undefined);
    try {
      const told = await postJson<ApprovedAnswer>(path, body);
      toast(told.says || done, told.says ? "warn" : "good");
      setNetwork("");
      setNote("");
      loaded.again();
    } catch (problem) {
      setError(problem);
    }
  };
  const add = (event: Event) => {
    event.preventDefault();
    void change("/nodes/approved", { network, note }, `${network} is approved on every node within seconds.`);
  };
  const remove = (row: Approved) =>
    void change("/nodes/approved/remove", { network: row.network }, `${row.network} is not approved any more.`);
  return (
    <div class="stack">
      <p class="quiet">
        The mirror on 42001, metrics, PostgreSQL, Redis, Elasticsearch and the miners' port serve these addresses alone. Agents and people
        need none.
      </p>
      {may("manage_nodes") && (
        <form class="row" onSubmit={add}>
          <Field label="Address or network">
            {(ids) => (
              <input
                {...ids}
                type="text"
                required
                placeholder="10.0.0.7 or 10.1.0.0/16"
                value={network}
                onInput={(event) => setNetwork(event.currentTarget.value)}
              />
            )}
          </Field>
          <Field label="What it is">
            {(ids) => (
              <input {...ids} type="text" maxLength={200} placeholder="miner-2" value={note} onInput={(event) => setNote(event.currentTarget.value)} />
            )}
          </Field>
          <Button kind="primary" type="submit">
            Approve
          </Button>
        </form>
      )}
      {error !== undefined && <Trouble error={error} />}
      <div class="card flush">
        <Table
          label="Approved addresses"
          rows={loaded.data.approved}
          id={(row) => `${row.network} ${row.place}`}
          columns={[
            { title: "Address", show: (row) => row.network },
            { title: "Stands in", show: (row) => <Badge>{PLACES[row.place]}</Badge> },
            { title: "What it is", show: (row) => row.note },
            {
              title: "Action",
              show: (row) =>
                row.place === "table" && may("manage_nodes") ? (
                  <Button small aria-label={`Remove ${row.network}`} onClick={() => remove(row)}>
                    Remove
                  </Button>
                ) : null,
            },
          ]}
        />
      </div>
    </div>
  );
}
