/** Where one is signed in, and ending it. */

import { deleteJson, getJson } from "../../api/client";
import { Badge, Button, Loading, Table, Time, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { perform } from "./act";
import { browserName } from "./browserName";

export interface SessionRow {
  id: string;
  started_at_ms: number;
  seen_at_ms: number;
  expires_at_ms: number;
  address: string;
  browser: string;
  way: string;
  current: boolean;
}

export function Sessions() {
  const loaded = useLoad((signal) => getJson<{ sessions: SessionRow[] }>("/account/sessions", {}, signal), []);
  const rows = loaded.data?.sessions ?? [];
  const end = (row: SessionRow) => perform(() => deleteJson(`/account/sessions/${row.id}`), "That session is over.", loaded.again);
  const endOthers = () => perform(() => deleteJson("/account/sessions"), "You are signed out everywhere else.", loaded.again);
  return (
    <section class="card stack">
      <div class="row spread middle">
        <h2>Where you are signed in</h2>
        {rows.length > 1 && (
          <Button small onClick={() => void endOthers()}>
            Sign out everywhere else
          </Button>
        )}
      </div>
      {loaded.error !== undefined && <Trouble error={loaded.error} again={loaded.again} />}
      {!loaded.data ? (
        <Loading />
      ) : (
        <Table
          label="Sessions"
          rows={rows}
          id={(row) => row.id}
          columns={[
            { title: "Browser", show: (row) => browserName(row.browser) },
            { title: "Address", show: (row) => row.address },
            { title: "Since", show: (row) => <Time ms={row.started_at_ms} /> },
            { title: "Last used", show: (row) => <Time ms={row.seen_at_ms} age /> },
            {
              title: "Action",
              show: (row) =>
                row.current ? (
                  <Badge tone="good">this one</Badge>
                ) : (
                  <Button small onClick={() => void end(row)}>
                    End
                  </Button>
                ),
            },
          ]}
        />
      )}
    </section>
  );
}
