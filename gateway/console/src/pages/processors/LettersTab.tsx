/** Dead letters: which records could not be processed and why; choose some, try them again, or give them up. */

import { useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { query, setQuery } from "../../app/router";
import { may } from "../../app/session";
import { formatBytes, formatNumber } from "../../ui/format";
import { Button, Empty, Field, Loading, Table, Time, Trouble, type Column } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { Letter, LettersAnswer } from "./answers";
import { LetterDialog } from "./LetterDialog";
import { SettleDialog } from "./SettleDialog";

const FILTERS = ["reason", "topic", "stage"] as const;

export function LettersTab() {
  const asked = {
    state: query.value.get("state") ?? "open",
    reason: query.value.get("reason") ?? "",
    topic: query.value.get("topic") ?? "",
    stage: query.value.get("stage") ?? "",
  };
  const answer = useLoad((signal) => getJson<LettersAnswer>("/dead-letters", asked, signal), Object.values(asked));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [settling, setSettling] = useState<"retry" | "discard">();
  const { data } = answer;
  const shown = query.value.get("letter");
  if (!data) return answer.error ? <Trouble error={answer.error} again={answer.again} /> : <Loading what="Reading dead letters" />;
  const open = data.letters.filter((one) => !one.settled).map((one) => one.id);
  const picked = open.filter((id) => chosen.has(id));
  const manages = may("manage_processors");
  const settled = () => {
    setSettling(undefined);
    setChosen(new Set());
    setQuery({ letter: undefined });
    answer.again();
  };
  return (
    <>
      <Filters data={data} asked={asked} />
      {answer.error !== undefined && <Trouble error={answer.error} again={answer.again} />}
      {manages && open.length > 0 && (
        <div class="row middle">
          <Button small disabled={!picked.length} onClick={() => setSettling("retry")}>
            Try {picked.length || ""} again
          </Button>
          <Button small kind="danger" disabled={!picked.length} onClick={() => setSettling("discard")}>
            Give {picked.length || ""} up
          </Button>
          <Button small kind="plain" onClick={() => setChosen(new Set(picked.length === open.length ? [] : open))}>
            {picked.length === open.length ? "Choose none" : `Choose all ${open.length}`}
          </Button>
        </div>
      )}
      {data.letters.length === 0 ? (
        <Empty title={asked.state === "open" ? "No dead letters are open" : "No dead letters"}>
          <p>A record becomes a dead letter when it can never be processed as it is. Nothing is thrown away by itself.</p>
        </Empty>
      ) : (
        <div class="card flush">
          <Table
            label="Dead letters"
            columns={columns(manages, chosen, (id) => setChosen(toggled(chosen, id)))}
            rows={data.letters}
            id={(row) => row.id}
          />
        </div>
      )}
      {data.total > data.letters.length && <p class="quiet">The newest {data.letters.length} of {formatNumber(data.total)}.</p>}
      {shown && <LetterDialog id={shown} close={() => setQuery({ letter: undefined })} changed={settled} />}
      {settling && <SettleDialog how={settling} ids={picked} close={() => setSettling(undefined)} done={settled} />}
    </>
  );
}

function columns(manages: boolean, chosen: ReadonlySet<string>, toggle: (id: string) => void): Column<Letter>[] {
  const choose: Column<Letter> = {
    title: "Choose",
    show: (row) =>
      !row.settled && (
        <input type="checkbox" aria-label={`Choose ${row.id}`} checked={chosen.has(row.id)} onChange={() => toggle(row.id)} />
      ),
  };
  return [
    ...(manages ? [choose] : []),
    {
      title: "Record",
      show: (row) => (
        <button type="button" class="as-link" onClick={() => setQuery({ letter: row.id }, false)}>
          {row.id}
        </button>
      ),
    },
    { title: "Why", show: (row) => row.reason },
    { title: "Given up by", show: (row) => row.stages.join(", ") },
    { title: "Size", number: true, show: (row) => (row.bytes ? formatBytes(row.bytes) : "in its topic") },
    { title: "When", show: (row) => <Time ms={row.time_ms} /> },
    { title: "State", show: (row) => row.settled || "open" },
  ];
}

function Filters(props: { data: LettersAnswer; asked: Record<(typeof FILTERS)[number] | "state", string> }) {
  const { data, asked } = props;
  const counts = { reason: data.reasons, topic: data.topics, stage: data.stages };
  const titles = { reason: "Why", topic: "Topic", stage: "Given up by" };
  return (
    <div class="letter-filters">
      <Field label="State">
        {(ids) => (
          <select {...ids} value={asked.state} onChange={(event) => setQuery({ state: event.currentTarget.value })}>
            <option value="open">open</option>
            <option value="settled">settled</option>
            <option value="all">all</option>
          </select>
        )}
      </Field>
      {FILTERS.map((name) => (
        <Field key={name} label={titles[name]}>
          {(ids) => (
            <select {...ids} value={asked[name]} onChange={(event) => setQuery({ [name]: event.currentTarget.value })}>
              <option value="">all</option>
              {counts[name].map((one) => (
                <option key={one.value} value={one.value}>
                  {one.value} ({one.count})
                </option>
              ))}
            </select>
          )}
        </Field>
      ))}
    </div>
  );
}

function toggled(chosen: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const next = new Set(chosen);
  if (!next.delete(id)) next.add(id);
  return next;
}
