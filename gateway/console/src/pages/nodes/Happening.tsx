/** What happens to nodes and agents, as it happens; it can be filtered, and held to be read. Never drops what came while held. */

import { useEffect, useRef, useState } from "preact/hooks";
import { getJson, subscribe } from "../../api/client";
import { query, setQuery } from "../../app/router";
import { reasonOf } from "../../player/markers";
import { formatClock, formatDay, formatTime } from "../../ui/format";
import { Badge, Button, Empty, Field, Loading, Trouble } from "../../ui/parts";
import { EVENT_TONES, gapOf, type Fact, type HistoryAnswer } from "./answers";

const KEPT = 2000;

export function Happening() {
  const subject = query.value.get("subject") ?? "";
  const search = query.value.get("q") ?? "";
  const [facts, setFacts] = useState<readonly Fact[]>();
  const [waiting, setWaiting] = useState<readonly Fact[]>([]);
  const [before, setBefore] = useState<number | null>(null);
  const [held, setHeld] = useState(false);
  const [live, setLive] = useState(false);
  const [error, setError] = useState<unknown>();
  const holding = useRef(false);
  holding.current = held;

  const load = async (older: number | null, signal?: AbortSignal) => {
    setError(undefined);
    try {
      const told = await getJson<HistoryAnswer>("/nodes/history", { subject, search, before: older, limit: 100 }, signal);
      setFacts((known) => (older === null ? merge(told.facts, []) : [...(known ?? []), ...told.facts]));
      setBefore(told.before);
    } catch (problem) {
      if (!signal?.aborted) setError(problem);
    }
  };

  useEffect(() => {
    const aborter = new AbortController();
    setFacts(undefined);
    setWaiting([]);
    void load(null, aborter.signal);
    const stop = subscribe<Fact>(
      "/nodes/events",
      (fact) => {
        if (!matches(fact, subject, search)) return;
        if (holding.current) setWaiting((known) => merge([fact], known));
        else setFacts((known) => merge([fact], known ?? []));
      },
      ["fact"],
      setLive,
    );
    return () => {
      aborter.abort();
      stop();
    };
  }, [subject, search]);

  const hold = () => {
    if (held) {
      setFacts((known) => merge(waiting, known ?? []));
      setWaiting([]);
    }
    setHeld(!held);
  };

  return (
    <div class="stack">
      <div class="row">
        <Field label="Search" class="grow">
          {(ids) => (
            <input
              {...ids}
              type="search"
              placeholder="node, agent, event, address"
              value={search}
              onInput={(event) => setQuery({ q: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label="Of">
          {(ids) => (
            <select {...ids} value={subject} onChange={(event) => setQuery({ subject: event.currentTarget.value })}>
              <option value="">nodes and agents</option>
              <option value="node">nodes</option>
              <option value="agent">agents</option>
            </select>
          )}
        </Field>
        <Button aria-pressed={held} onClick={hold}>
          {held ? `Go on${waiting.length ? ` (${waiting.length} new)` : ""}` : "Hold"}
        </Button>
        <span role="status" class="live-mark">
          <Badge {...(live && !held ? { tone: "good" as const } : { tone: "warn" as const })}>
            {held ? "held" : live ? "live" : "connecting"}
          </Badge>
        </span>
      </div>
      {error !== undefined && <Trouble error={error} again={() => void load(null)} />}
      {facts === undefined && error === undefined && <Loading what="Reading what happened" />}
      {facts?.length === 0 && (
        <Empty title="Nothing is known of that">
          <p>{search || subject ? "Nothing that is kept here fits. Older events: sealstream lifecycle tail --from-start" : "Nothing has happened yet."}</p>
        </Empty>
      )}
      {facts !== undefined && facts.length > 0 && <FactList facts={facts} />}
      {before !== null && (
        <div>
          <Button onClick={() => void load(before)}>Older</Button>
        </div>
      )}
    </div>
  );
}

function FactList(props: { facts: readonly Fact[] }) {
  return (
    <ol class="card flush happening" aria-label="What happened, the newest first">
      {props.facts.map((fact, at) => (
        <li key={fact.offset}>
          <time dateTime={new Date(fact.time_ms).toISOString()} title={new Date(fact.time_ms).toISOString()}>
            {sameDay(fact, props.facts[at - 1]) ? "" : `${formatDay(fact.time_ms)} `}
            {formatClock(fact.time_ms)}
          </time>
          <Event fact={fact} />
          <span class="what">
            <strong>{fact.id}</strong> {fact.address && <span class="quiet">{fact.address}</span>}
            <span class="quiet"> {fact.event === "gap" ? gapTold(fact) : detailOf(fact)}</span>
          </span>
        </li>
      ))}
    </ol>
  );
}

/** Whose recording has a hole, from when to when and why. Who sees nodes sees no recordings, so there is no way there. */
function gapTold(fact: Fact): string {
  const gap = gapOf(fact);
  const end = gap.until_ms > gap.from_ms ? ` to ${formatTime(gap.until_ms, fact.time_ms)}` : "";
  const whose = [fact.detail.user, fact.detail.computer].filter(Boolean).join(" on ");
  return `${gap.stream} of ${whose || "an agent"}: ${reasonOf(gap)}, ${formatTime(gap.from_ms, fact.time_ms)}${end}`;
}

function Event(props: { fact: Fact }) {
  const tone = EVENT_TONES[props.fact.event];
  return (
    <span>
      <Badge tone={tone}>{props.fact.event}</Badge>
    </span>
  );
}

const sameDay = (fact: Fact, before: Fact | undefined) =>
  new Date(fact.time_ms).toDateString() === new Date(before?.time_ms ?? Date.now()).toDateString();

function detailOf(fact: Fact): string {
  const told = Object.entries(fact.detail)
    .filter(([, value]) => value)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  if (fact.reporter && fact.reporter !== fact.id) told.push(`told by ${fact.reporter}`);
  return told.join(", ");
}

function matches(fact: Fact, subject: string, search: string): boolean {
  if (subject && fact.subject !== subject) return false;
  const text = [fact.id, fact.event, fact.address, fact.reporter, ...Object.values(fact.detail)].join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** Newest first, each once. */
function merge(fresh: readonly Fact[], known: readonly Fact[]): readonly Fact[] {
  const all = new Map([...known, ...fresh].map((fact) => [fact.offset, fact]));
  return [...all.values()].sort((a, b) => b.offset - a.offset).slice(0, KEPT);
}
