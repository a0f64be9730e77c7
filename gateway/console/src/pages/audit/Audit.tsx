/** Who did what, when and why: filtered, page by page, with what the database's own chain says of it. */

import { useSignal } from "@preact/signals";
import { download, getJson, withQuery } from "../../api/client";
import { query } from "../../app/router";
import { Badge, Button, Empty, Loading, PageHead, Table, Time, toast, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import "../own/own.css";
import { EntryDialog } from "./EntryDialog";
import { Filters } from "./Filters";
import { actionWords, asQuery, outcomeTone, targetWords, type Entry, type Trail } from "./model";
import { Verdict } from "./Verdict";

export default function Audit() {
  const wanted = asQuery(query.value);
  const key = withQuery("", wanted);
  return (
    <>
      <PageHead title="Audit">
        <Verdict />
        <Button onClick={() => download(withQuery("/audit/csv", wanted))}>Download CSV</Button>
      </PageHead>
      <div class="stack">
        <Filters />
        <Entries key={key} wanted={wanted} />
      </div>
    </>
  );
}

function Entries({ wanted }: { wanted: Record<string, string | readonly string[]> }) {
  const first = useLoad((signal) => getJson<Trail>("/audit", wanted, signal), []);
  const more = useSignal<{ entries: readonly Entry[]; after: string | null } | undefined>(undefined);
  const open = useSignal<Entry | undefined>(undefined);
  const after = more.value ? more.value.after : (first.data?.after ?? null);
  const rows = [...(first.data?.entries ?? []), ...(more.value?.entries ?? [])];
  const load = async () => {
    try {
      const page = await getJson<Trail>("/audit", { ...wanted, after });
      more.value = { entries: [...(more.value?.entries ?? []), ...page.entries], after: page.after };
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
  };
  if (first.error !== undefined) return <Trouble error={first.error} again={first.again} />;
  if (!first.data) return <Loading />;
  if (!rows.length) return <Empty title="Nothing like that was done"><p>Take a filter away, or look at a longer time.</p></Empty>;
  return (
    <div class="card flush">
      <Table
        label="Audit entries"
        rows={rows}
        id={(row) => row.id}
        columns={[
          { title: "When", keep: true, show: (row) => <Time ms={row.time_ms} /> },
          { title: "Who", show: (row) => <Actor name={row.actor} /> },
          { title: "Did", keep: true, show: (row) => actionWords(row.action) },
          { title: "To", show: (row) => <bdi class="clip">{targetWords(row)}</bdi> },
          { title: "Why", show: (row) => row.purpose },
          { title: "Outcome", keep: true, show: (row) => <Outcome outcome={row.outcome} /> },
          {
            title: "Action",
            keep: true,
            show: (row) => (
              <Button small aria-label={`Details of ${row.action} by ${row.actor}`} onClick={() => (open.value = row)}>
                Details
              </Button>
            ),
          },
        ]}
      />
      {after && (
        <div class="more last">
          <Button onClick={() => void load()}>Show earlier ones</Button>
        </div>
      )}
      {open.value && <EntryDialog entry={open.value} close={() => (open.value = undefined)} />}
    </div>
  );
}

/** `ann@console`: broken before the @ where there is no room. */
function Actor({ name }: { name: string }) {
  const at = name.lastIndexOf("@");
  if (at < 1) return <bdi>{name}</bdi>;
  return (
    <span>
      <bdi>{name.slice(0, at)}</bdi>
      <wbr />
      {name.slice(at)}
    </span>
  );
}

function Outcome({ outcome }: { outcome: string }) {
  const tone = outcomeTone(outcome);
  const words = actionWords(outcome);
  return <Badge tone={tone}>{words}</Badge>;
}
