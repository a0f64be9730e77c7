/** Asking for a replay: what, from where, which range; how much that is; why. Begins nothing before it was counted. */

import { useEffect, useState } from "preact/hooks";
import { ApiError, postJson } from "../../api/client";
import { formatBytes, formatNumber, formatTime, fromLocalInput } from "../../ui/format";
import { Button, Dialog, Field, Notice, toast, Trouble } from "../../ui/parts";
import type { Estimate, OffsetRange, Range, ReplaysAnswer } from "./answers";

const SETTLE_MS = 400;

interface Asked {
  processor: string;
  topic: string;
  source: "kafka" | "archive";
  by: "time" | "offset";
  since: string;
  until: string;
  agents: string;
  offsets: string;
  perS: string;
  purpose: string;
}

export function ReplayForm(props: { processors: ReplaysAnswer["processors"]; close: () => void; begun: () => void }) {
  const first = props.processors[0]!;
  const [asked, setAsked] = useState<Asked>({
    processor: first.processor,
    topic: first.topics.includes("envelopes.screen") ? "envelopes.screen" : first.topics[0]!,
    source: "kafka",
    by: "time",
    since: "",
    until: "",
    agents: "",
    offsets: "",
    perS: "",
    purpose: "",
  });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const change = (part: Partial<Asked>) => setAsked((before) => consistent({ ...before, ...part }, props.processors));
  const range = asRange(asked);
  const counted = useEstimate(typeof range === "string" ? undefined : range);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (typeof range === "string") return;
    setBusy(true);
    setError(undefined);
    try {
      await postJson("/replays", { ...range, records_per_s: Number(asked.perS) || 0, purpose: asked.purpose.trim() });
      toast("The replay has begun. It goes on without this page.");
      props.begun();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const may = typeof range !== "string" && (counted.estimate?.records ?? 0) > 0 && asked.purpose.trim().length >= 3 && !busy;
  return (
    <Dialog title="New replay" wide close={props.close}>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <div class="replay-fields">
          <Choice
            label="Processor"
            value={asked.processor}
            choices={props.processors.map((one) => [one.processor, one.processor])}
            choose={(processor) => change({ processor })}
          />
          <Choice
            label="Stream"
            value={asked.topic}
            choices={(props.processors.find((one) => one.processor === asked.processor)?.topics ?? []).map((topic) => [
              topic,
              topic.replace("envelopes.", ""),
            ])}
            choose={(topic) => change({ topic })}
          />
          <Choice
            label="From"
            value={asked.source}
            choices={[
              ["kafka", "Kafka (7 days)"],
              ["archive", "the archive"],
            ]}
            choose={(source) => change({ source: source as Asked["source"] })}
          />
          <Choice
            label="Range by"
            value={asked.by}
            choices={asked.source === "archive" ? [["time", "time"]] : [["time", "time"], ["offset", "offset"]]}
            choose={(by) => change({ by: by as Asked["by"] })}
          />
          {asked.by === "time" ? (
            <>
              <Line label={asked.source === "archive" ? "Captured from" : "Received from"} type="datetime-local" value={asked.since} set={(since) => change({ since })} hint="Empty: from the beginning." />
              <Line label="Until" type="datetime-local" value={asked.until} set={(until) => change({ until })} hint="Empty: to the end." />
            </>
          ) : (
            <Line label="Offsets" value={asked.offsets} set={(offsets) => change({ offsets })} hint="PARTITION:FIRST or PARTITION:FIRST-END, with spaces between, such as 0:1200-1500 3:90" />
          )}
          <Line label="Only these agents" value={asked.agents} set={(agents) => change({ agents })} hint="Agent ids with spaces between; empty: all." />
          <Line label="Records a second at most" type="number" value={asked.perS} set={(perS) => change({ perS })} hint="Empty: as fast as live traffic allows." />
        </div>
        <Line label="Why" value={asked.purpose} set={(purpose) => change({ purpose })} hint="Goes into the audit." />
        <Amount range={range} counted={counted} />
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Close</Button>
          <Button kind="primary" type="submit" disabled={!may}>
            Begin
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Amount(props: { range: Range | string; counted: ReturnType<typeof useEstimate> }) {
  const { estimate, error } = props.counted;
  if (typeof props.range === "string") return <Notice tone="warn">{props.range}</Notice>;
  if (error) return <Trouble error={error} />;
  if (!estimate) return <Notice role="status">Counting what that would be.</Notice>;
  if (!estimate.records) return <Notice tone="warn" role="status">There is nothing in that range.</Notice>;
  return (
    <Notice tone="good" role="status">
      {formatNumber(estimate.records)} envelopes, {formatBytes(estimate.bytes)}, of {formatNumber(estimate.agents)} agents
      {estimate.first_ms !== null && estimate.last_ms !== null && `, from ${formatTime(estimate.first_ms)} to ${formatTime(estimate.last_ms)}`}
    </Notice>
  );
}

function Choice(props: { label: string; value: string; choices: readonly (readonly string[])[]; choose: (value: string) => void }) {
  return (
    <Field label={props.label}>
      {(ids) => (
        <select {...ids} value={props.value} onChange={(event) => props.choose(event.currentTarget.value)}>
          {props.choices.map(([value, title]) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function Line(props: { label: string; value: string; set: (value: string) => void; hint?: string; type?: "text" | "number" | "datetime-local" }) {
  return (
    <Field label={props.label} {...(props.hint ? { hint: props.hint } : {})}>
      {(ids) => {
        const rest = { ...ids, value: props.value, onInput: (event: Event) => props.set((event.target as HTMLInputElement).value) };
        if (props.type === "number") return <input type="number" min={0} {...rest} />;
        return props.type ? <input type="datetime-local" {...rest} /> : <input type="text" {...rest} />;
      }}
    </Field>
  );
}

/** How much the range would be, counted a moment after it was changed last. */
function useEstimate(range: Range | undefined): { estimate: Estimate | undefined; error: unknown } {
  const [state, setState] = useState<{ estimate: Estimate | undefined; error: unknown }>({ estimate: undefined, error: undefined });
  const key = JSON.stringify(range);
  useEffect(() => {
    setState({ estimate: undefined, error: undefined });
    if (!range) return;
    const aborter = new AbortController();
    const timer = setTimeout(() => {
      postJson<Estimate>("/replays/estimate", range, aborter.signal).then(
        (estimate) => setState({ estimate, error: undefined }),
        (error: unknown) => error instanceof ApiError && setState({ estimate: undefined, error }),
      );
    }, SETTLE_MS);
    return () => {
      clearTimeout(timer);
      aborter.abort();
    };
  }, [key]);
  return state;
}

/** What does not go together any more is set to what does. */
function consistent(asked: Asked, processors: ReplaysAnswer["processors"]): Asked {
  const topics = processors.find((one) => one.processor === asked.processor)?.topics ?? [];
  const topic = topics.includes(asked.topic) ? asked.topic : topics[0]!;
  return { ...asked, topic, by: asked.source === "archive" ? "time" : asked.by };
}

/** The range as the API takes it, or what is wrong with it. */
function asRange(asked: Asked): Range | string {
  const since = asked.since ? fromLocalInput(asked.since) : null;
  const until = asked.until ? fromLocalInput(asked.until) : null;
  if (since === undefined || until === undefined) return "A time is not complete.";
  if (asked.by === "time" && until !== null && until <= (since ?? 0)) return "The end is not after the beginning.";
  const agents = asked.agents.split(/[\s,]+/).filter(Boolean);
  const wrong = agents.find((one) => !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(one));
  if (wrong) return `${wrong} is not an agent id.`;
  const offsets = asked.by === "offset" ? parseOffsets(asked.offsets) : [];
  if (typeof offsets === "string") return offsets;
  if (asked.by === "offset" && !offsets.length) return "Name at least one partition and its first offset.";
  return {
    topic: asked.topic,
    processor: asked.processor,
    source: asked.source,
    since_ms: asked.by === "time" ? since : null,
    until_ms: asked.by === "time" ? until : null,
    agents,
    offsets,
  };
}

function parseOffsets(text: string): OffsetRange[] | string {
  const ranges: OffsetRange[] = [];
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    const parts = /^(\d+):(\d+)(?:-(\d+))?$/.exec(word);
    if (!parts) return `${word} is not PARTITION:FIRST or PARTITION:FIRST-END.`;
    ranges.push({ partition: Number(parts[1]), first: Number(parts[2]), end: parts[3] === undefined ? null : Number(parts[3]) });
  }
  return ranges;
}
