/** What stands at a place of the timeline: the time, what it is, and a small picture. */

import { useEffect, useState } from "preact/hooks";
import { withQuery } from "../../api/client";
import { findAt } from "../../player/stretches";
import { formatClock } from "../../ui/format";
import type { Replay } from "./replay";

const WAIT_MS = 140;
const WIDTH = 224;

export function Preview(props: { replay: Replay; at: number; x: number; width: number; text: string }) {
  const { replay, at } = props;
  const [pictured, setPictured] = useState<{ url: string; at: number } | undefined>(undefined);
  const [failed, setFailed] = useState("");
  const spans = replay.timeline.spans.filter((span) => span.stream === "screen" && !span.end_to_end);
  const agent = (findAt(spans, at) ?? spans.findLast((span) => span.from_ms <= at))?.agent_id;
  useEffect(() => {
    if (!agent) return undefined;
    const timer = setTimeout(() => {
      const second = Math.floor(at / 1000) * 1000;
      setPictured({ at, url: `/api/v1${withQuery("/recordings/frame", { agent, at_ms: second, width: WIDTH })}` });
    }, WAIT_MS);
    return () => clearTimeout(timer);
  }, [agent, Math.floor(at / 1000)]);
  const left = Math.max(WIDTH / 2 + 4, Math.min(props.width - WIDTH / 2 - 4, props.x));
  const url = agent && pictured && pictured.url !== failed ? pictured.url : undefined;
  return (
    <div class="peek" style={{ left: `${left}px` }} aria-hidden="true">
      {url && <img src={url} alt="" onError={() => setFailed(url)} />}
      <strong>{formatClock(at)}</strong>
      {props.text && <span>{props.text}</span>}
    </div>
  );
}
