/** Everything worth going to, as a list: for those who do not use the timeline's picture, and to search the day. */

import { useEffect, useRef, useState } from "preact/hooks";
import { setQuery } from "../../app/router";
import { may } from "../../app/session";
import type { Marker } from "../../player/markers";
import { formatClock, formatDuration } from "../../ui/format";
import { Badge, Button, Trouble } from "../../ui/parts";
import type { Replay } from "./replay";

const KINDS = { hit: ["Found", undefined], alert: ["Alert", "bad"], gap: ["Gap", "warn"] } as const;

export function MarkerPane(props: { replay: Replay; markers: readonly Marker[]; q: string; loading: boolean; error: unknown }) {
  const [typed, setTyped] = useState(props.q);
  const at = props.replay.coarse.value;
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => list.current!.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" }), []);
  const search = (event: Event) => {
    event.preventDefault();
    setQuery({ q: typed.trim() || undefined });
  };
  return (
    <div class="markers">
      {may("search") && (
        <form class="row middle" role="search" onSubmit={search}>
          <input type="search" aria-label="Find in this day" placeholder="Find in this day" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          <Button type="submit" small>
            Find
          </Button>
        </form>
      )}
      {props.error !== undefined && <Trouble error={props.error} />}
      {!props.markers.length && <p class="quiet">{emptyText(props.q, props.loading)}</p>}
      <ol ref={list} aria-label="Markers">
        {props.markers.map((marker) => (
          <li key={marker.id} aria-current={Math.abs(marker.at - at) < 500 ? "time" : undefined}>
            <button type="button" class="marker" onClick={() => props.replay.seek(marker.at)}>
              <span class="when">{formatClock(marker.at)}</span>
              <Badge tone={KINDS[marker.kind][1]!}>{KINDS[marker.kind][0]}</Badge>
              <span class="text">
                {marker.text}
                {marker.kind === "gap" && <span class="quiet"> for {formatDuration(marker.until - marker.at)}</span>}
              </span>
            </button>
          </li>
        ))}
      </ol>
    </div>
  );
}

function emptyText(q: string, loading: boolean): string {
  if (loading) return "Looking";
  return q ? `“${q}” was not found on this day, and there are no alerts or gaps.` : "There are no alerts and no gaps on this day.";
}
