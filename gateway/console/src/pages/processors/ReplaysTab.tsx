/** Replays: those that run with how far they are, those that ended, and the way to begin one. */

import { useState } from "preact/hooks";
import { getQuietly, useEvery } from "../../api/background";
import { postJson } from "../../api/client";
import { may } from "../../app/session";
import { formatBytes, formatDuration, formatNumber, formatTime } from "../../ui/format";
import { Badge, Button, Empty, Loading, toast, Trouble, Time } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { rate } from "../overview/Tiles";
import type { ReplaysAnswer, Run } from "./answers";
import { ReplayForm } from "./ReplayForm";

const TONES: Record<Run["state"], "good" | "warn" | "bad" | undefined> = {
  waiting: undefined,
  running: "good",
  cancelling: "warn",
  done: "good",
  cancelled: "warn",
  stopped: "warn",
  failed: "bad",
  interrupted: "bad",
};
const GOES_ON = new Set<Run["state"]>(["waiting", "running", "cancelling"]);
const RESUMES = new Set<Run["state"]>(["cancelled", "stopped", "failed"]);

export function ReplaysTab() {
  const answer = useLoad((signal) => getQuietly<ReplaysAnswer>("/replays", {}, signal), []);
  const [asks, setAsks] = useState(false);
  useEvery(1500, true, answer.again);
  const { data } = answer;
  if (!data) return answer.error ? <Trouble error={answer.error} again={answer.again} /> : <Loading />;
  const manages = may("manage_processors");
  return (
    <>
      <div class="row middle spread">
        <p class="quiet replay-about">
          A replay processes records again: results replace those that are there, none is made twice, and live traffic has the way.
        </p>
        {manages && (
          <Button kind="primary" onClick={() => setAsks(true)}>
            New replay
          </Button>
        )}
      </div>
      {answer.error !== undefined && <Trouble error={answer.error} />}
      {data.replays.length === 0 && (
        <Empty title="No replay was begun yet">
          <p>When rules, languages or the reading of text have changed, a replay brings the past up to date.</p>
        </Empty>
      )}
      <ul class="replays">
        {data.replays.map((run) => (
          <RunCard key={run.run_id} run={run} manages={manages} changed={answer.again} />
        ))}
      </ul>
      {asks && (
        <ReplayForm
          processors={data.processors}
          close={() => setAsks(false)}
          begun={() => {
            setAsks(false);
            answer.again();
          }}
        />
      )}
    </>
  );
}

function RunCard(props: { run: Run; manages: boolean; changed: () => void }) {
  const { run } = props;
  const [busy, setBusy] = useState(false);
  const act = async (what: "cancel" | "resume") => {
    setBusy(true);
    try {
      await postJson(`/replays/${run.run_id}/${what}`);
      props.changed();
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
    setBusy(false);
  };
  const tone = TONES[run.state];
  return (
    <li class="card run">
      <div class="row middle spread">
        <h2>
          {run.processor}: {run.topic.replace("envelopes.", "")} from {run.source === "archive" ? "the archive" : "Kafka"}
        </h2>
        <Badge tone={tone}>{run.progress.paused ? "stands back for live traffic" : run.state}</Badge>
      </div>
      <p class="quiet">
        {rangeText(run)} · {run.by_command ? "by the command line" : `by ${run.actor}`} on {run.node_id},{" "}
        <Time ms={run.asked_ms} age />
        {run.purpose && ` · ${run.purpose}`}
      </p>
      {GOES_ON.has(run.state) && <RunProgress run={run} />}
      <p>
        {formatNumber(run.progress.done)}
        {run.expected_records !== null && ` of ${formatNumber(run.expected_records)}`} envelopes, {formatBytes(run.progress.bytes)},{" "}
        {formatNumber(run.progress.results)} results
        {run.progress.dead > 0 && `, ${formatNumber(run.progress.dead)} dead letters`}
        {run.state === "running" && run.progress.per_s !== null && `, ${rate(run.progress.per_s)} a second`}
        {run.state === "running" && run.progress.eta_s !== null && `, about ${formatDuration(1000 * run.progress.eta_s)} left`}
      </p>
      {run.fault && <p class="fault">{run.fault}</p>}
      {run.state === "interrupted" && <p class="fault">Its node's gateway does not run: it goes on when that is back.</p>}
      {run.state === "waiting" && <p class="quiet">It begins when the replay before it has ended.</p>}
      {props.manages && !run.by_command && (
        <div class="row">
          {(run.state === "running" || run.state === "waiting") && (
            <Button small disabled={busy} onClick={() => void act("cancel")} aria-label={`Cancel ${run.run_id}`}>
              Cancel
            </Button>
          )}
          {RESUMES.has(run.state) && (
            <Button small disabled={busy} onClick={() => void act("resume")} aria-label={`Go on with ${run.run_id}`}>
              Go on
            </Button>
          )}
        </div>
      )}
    </li>
  );
}

function RunProgress(props: { run: Run }) {
  const { share } = props.run.progress;
  const percent = share === null ? undefined : Math.round(100 * share);
  return (
    <div
      class="bar"
      role="progressbar"
      aria-label={`Replay ${props.run.run_id}`}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(percent === undefined ? {} : { "aria-valuenow": percent })}
    >
      <span style={{ width: `${percent ?? 0}%` }} />
    </div>
  );
}

function rangeText(run: Run): string {
  if (run.offsets.length) {
    return run.offsets.map((one) => `partition ${one.partition} from ${one.first}${one.end === null ? "" : ` to ${one.end}`}`).join(", ");
  }
  const since = run.since_ms === null ? "from the beginning" : `from ${formatTime(run.since_ms)}`;
  const until = run.until_ms === null ? "" : ` to ${formatTime(run.until_ms)}`;
  const agents = run.agents.length ? `, ${run.agents.length} agents` : "";
  return since + until + agents;
}
