/** Who looked, when, and why: the newest first. Never leaves anybody out. */

import { useSignal } from "@preact/signals";
import { getJson } from "../../api/client";
import { formatTime } from "../../ui/format";
import { Badge, Button, Loading, Table, Time, toast, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { grouped, lookWords, type LookGroup, type LookTold } from "./model";

interface Page {
  looks: LookTold[];
  after: string | null;
}

export function Looks() {
  const first = useLoad((signal) => getJson<Page>("/own/looks", {}, signal), []);
  const more = useSignal<{ looks: readonly LookTold[]; after: string | null } | undefined>(undefined);
  const after = more.value ? more.value.after : (first.data?.after ?? null);
  const rows = grouped([...(first.data?.looks ?? []), ...(more.value?.looks ?? [])]);
  const load = async () => {
    try {
      const page = await getJson<Page>("/own/looks", { after });
      more.value = { looks: [...(more.value?.looks ?? []), ...page.looks], after: page.after };
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
  };
  return (
    <section class="card">
      <h2>Who looked at it</h2>
      {first.error !== undefined && <Trouble error={first.error} again={first.again} />}
      {!first.data ? (
        <Loading />
      ) : rows.length ? (
        <>
          <Table
            label="Who looked"
            rows={rows}
            id={(row) => row.id}
            columns={[
              { title: "When", show: (row) => <Time ms={row.time_ms} /> },
              { title: "Who", show: (row) => (row.own ? <Badge>you</Badge> : row.actor) },
              { title: "What", show: (row) => <What look={row} /> },
              { title: "Why", show: (row) => row.purpose || <span class="quiet">none given</span> },
            ]}
          />
          {after && (
            <div class="more">
              <Button onClick={() => void load()}>Show earlier ones</Button>
            </div>
          )}
        </>
      ) : (
        <p class="quiet">Nobody has looked so far. Whoever does is listed here, with their reason.</p>
      )}
    </section>
  );
}

function What({ look }: { look: LookGroup }) {
  return (
    <span>
      {lookWords(look)}
      {look.times > 1 && <span class="quiet">, {look.times} times</span>}
      {look.since_ms !== null && look.until_ms !== null && (
        <span class="quiet">
          {" "}
          of {formatTime(look.since_ms)} to {formatTime(look.until_ms)}
        </span>
      )}
    </span>
  );
}
