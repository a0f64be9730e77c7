/** The text that appeared on the screens until the moment, as it was read: for those who do not see them, and to copy. */

import { getJson } from "../../api/client";
import { may } from "../../app/session";
import type { ReadDocument, SearchHit } from "../../player/answers";
import { formatClock } from "../../ui/format";
import { useLoad } from "../../ui/useLoad";
import type { Replay } from "./replay";

const MOST = 12;
const STEP_MS = 2000;

interface Read {
  readonly at: number;
  readonly lines: readonly string[];
}

export function ReadText({ replay, agents }: { replay: Replay; agents: readonly string[] }) {
  const at = Math.floor(replay.at.value / STEP_MS) * STEP_MS + STEP_MS;
  const playing = replay.playing.value;
  const { data, error, loading } = useLoad(
    (signal) => (playing || !may("search") ? Promise.resolve([]) : findRead(replay, agents, at, signal)),
    [replay, agents.join(), playing ? 0 : at, playing],
  );
  const opened = (replay.media.at(replay.at.peek())?.value.texts ?? [])
    .filter((one) => one.at <= at && agents.includes(one.agent))
    .map((one): Read => ({ at: one.at, lines: one.text.split("\n") }));
  const read = [...(data ?? []), ...opened].sort((one, other) => other.at - one.at);
  return (
    <div class="read-text" role="region" aria-label="Text on the screen" tabIndex={0}>
      {playing && <p class="quiet">Pause to see the text of this moment.</p>}
      {error !== undefined && <p>{error instanceof Error ? error.message : "It cannot be loaded."}</p>}
      {!playing && <p class="quiet">{read.length ? "What appeared until this moment, the newest first" : loading ? "Looking" : "No text was read on this screen."}</p>}
      {!playing &&
        read.map((one, number) => (
          <div key={number}>
            <h2>{formatClock(one.at)}</h2>
            {one.lines.map((line, place) => (
              <p key={place}>{line}</p>
            ))}
          </div>
        ))}
    </div>
  );
}

async function findRead(replay: Replay, agents: readonly string[], at: number, signal: AbortSignal): Promise<Read[]> {
  const { person, since_ms } = replay.timeline;
  const query = { person, stream: "screen", since_ms, until_ms: at, order: "newest", limit: 50, facets: "false" };
  const { hits } = await getJson<{ hits: SearchHit[] }>("/search", query, signal);
  const own = hits.filter((hit) => agents.includes(hit.agent_id)).slice(0, MOST);
  const documents = await Promise.all(own.map((hit) => getJson<ReadDocument>(`/search/documents/${hit.index}/${hit.id}`, {}, signal)));
  return documents.map((document) => ({ at: document.time_ms, lines: document.lines.map((line) => line.text) }));
}
