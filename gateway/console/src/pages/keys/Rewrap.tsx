/** Re-wrapping with its progress. It goes on at the server when this page is closed; never begins by itself. */

import { useState } from "preact/hooks";
import { getQuietly, useEvery } from "../../api/background";
import { deleteJson, postJson } from "../../api/client";
import { formatNumber } from "../../ui/format";
import { Badge, Button, Notice, Time, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { Job, Kek } from "./answers";

const TONES = { running: undefined, done: "good", failed: "bad", cancelled: "warn", interrupted: "bad" } as const;

export function Rewrap(props: { kek: Kek; manage: boolean }) {
  const { kek, manage } = props;
  const path = `/keys/kek/${encodeURIComponent(kek.name)}/rewrap`;
  const loaded = useLoad((signal) => getQuietly<{ job: Job | null }>(path, {}, signal), [path]);
  const [error, setError] = useState<unknown>();
  const job = loaded.data?.job ?? null;
  const running = job?.state === "running";
  useEvery(1000, running, loaded.again);

  if (kek.purpose === "end_to_end") {
    return (
      <Notice tone="sealed">
        <p>Its passphrase must not reach the server. Its officer runs, on each node that has an archive:</p>
        <pre>sealstream keys rewrap {kek.name}</pre>
      </Notice>
    );
  }
  const change = async (act: () => Promise<unknown>) => {
    setError(undefined);
    try {
      await act();
      loaded.again();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <div class="stack">
      <p>
        Old epochs in this node's archive are wrapped to {kek.successor || "its successor"} and no longer to {kek.name}. No record is
        touched. Other nodes with an archive do the same on their own.
      </p>
      {job && <Progress job={job} />}
      {manage && (
        <div class="row">
          {running ? (
            <Button onClick={() => void change(() => deleteJson(path))}>Cancel</Button>
          ) : (
            <Button kind="primary" onClick={() => void change(() => postJson(path, {}))}>
              {job && job.state !== "done" ? "Go on re-wrapping" : "Re-wrap"}
            </Button>
          )}
        </div>
      )}
      {loaded.error !== undefined && <Trouble error={loaded.error} again={loaded.again} />}
      {error !== undefined && <Trouble error={error} />}
    </div>
  );
}

function Progress(props: { job: Job }) {
  const { job } = props;
  const { days = 0, done = 0, rewrapped = 0, failed = 0 } = job.progress;
  const part = days ? done / days : job.state === "done" ? 1 : 0;
  const tone = TONES[job.state];
  return (
    <div class="stack job" role="status">
      <div class="row middle">
        <Badge tone={tone}>{job.state}</Badge>
        <span>
          {formatNumber(rewrapped)} epochs re-wrapped{days ? `, ${formatNumber(done)} of ${formatNumber(days)} agents' days` : ""}
        </span>
        <span class="quiet">
          by {job.by}, <Time ms={job.ended_at_ms ?? job.started_at_ms} age />
        </span>
      </div>
      <progress max={1} value={part} aria-label="Progress of re-wrapping" />
      {failed > 0 && (
        <Notice tone="warn">{failed} headers name this key and do not open with it: they were left as they are.</Notice>
      )}
      {job.message && job.state !== "done" && <p class="quiet">{job.message}</p>}
    </div>
  );
}
