/** The numbers that a person looks at first, each with where it comes from. */

import type { ComponentChildren } from "preact";
import { Link } from "../../app/router";
import { may } from "../../app/session";
import { formatBytes, formatNumber } from "../../ui/format";
import { AsOf, ageOf, Pending, type Age } from "./age";
import type { Picture, StreamRow } from "./answers";
import { Sparkline } from "./Sparkline";

export function Tiles(props: { picture: Picture }) {
  const { agents, streams, acks, groups, storage, gaps, dead_letters, alerts } = props.picture;
  const tables = ageOf(props.picture, "tables");
  const arrivals = ageOf(props.picture, "arrivals");
  const readers = ageOf(props.picture, "readers");
  const slowest = [...acks].sort((a, b) => (b.p99_ms ?? 0) - (a.p99_ms ?? 0))[0];
  const behind = groups.reduce((sum, group) => sum + group.lag, 0);
  const people = (
    <>
      <Tile
        title="Alerts open"
        age={tables}
        value={known(alerts?.open)}
        tone={alerts?.high ? "bad" : undefined}
        note={may("alerts") ? <Link href="/alerts">see them</Link> : `${known(alerts?.high)} of high severity`}
      />
      <Tile title="Gaps in 24 h" age={tables} value={known(gaps?.last_day)} tone={gaps?.last_day ? "warn" : undefined} note="known holes in recordings" />
    </>
  );
  return (
    <div class="tiles">
      {watchesPeople() && people}
      <Tile
        title="Agents online"
        value={formatNumber(agents.connected)}
        note={
          <>
            of {formatNumber(agents.known)} known{may("watch") && agents.connected > 0 && <>, <Link href="/live">watch live</Link></>}
          </>
        }
      />
      <Tile
        title="Envelopes a second"
        age={arrivals}
        value={rate(total(streams, "envelopes_per_s"))}
        note="last minute; line: 15 min"
        values={history(streams, "envelopes")}
      />
      <Tile
        title="Data a second"
        age={arrivals}
        value={bytesRate(total(streams, "bytes_per_s"))}
        note="last minute; line: 15 min"
        values={history(streams, "bytes")}
      />
      <Tile
        title="Acknowledged within"
        value={slowest ? `${formatNumber(slowest.p50_ms ?? 0)} ms` : "–"}
        note={slowest ? `99 % within ${formatNumber(slowest.p99_ms ?? 0)} ms, ${slowest.node}` : tables.waiting ? "not read yet" : "nothing came within a minute"}
      />
      <Tile
        title="Records behind"
        age={readers}
        value={groups.length ? formatNumber(behind) : "–"}
        note="wait to be read from Kafka"
        values={lagHistory(props.picture)}
        tone={behind >= 1000 ? "warn" : undefined}
      />
      <Tile
        title="Disk free"
        age={ageOf(props.picture, "disk")}
        value={storage.disk_free_bytes === null ? "–" : formatBytes(storage.disk_free_bytes)}
        note={storage.disk_bytes === null ? "" : `of ${formatBytes(storage.disk_bytes)}`}
        share={storage.disk_bytes ? 1 - (storage.disk_free_bytes ?? 0) / storage.disk_bytes : undefined}
      />
      <Tile
        title="Dead letters"
        age={tables}
        value={known(dead_letters)}
        tone={dead_letters ? "warn" : undefined}
        note={may("processors") ? <Link href="/processors?tab=dead-letters">see why</Link> : "records not processed"}
      />
      {!watchesPeople() && people}
    </div>
  );
}

/** Who looks after people sees what concerns them first; who looks after processes, those. */
export const watchesPeople = () => may("alerts") && !may("processors");

function Tile(props: {
  title: string;
  /** Of what the value was read from, where that is a store. */
  age?: Age;
  value: string;
  note?: ComponentChildren;
  values?: readonly number[] | undefined;
  share?: number | undefined;
  tone?: "warn" | "bad" | undefined;
}) {
  const waiting = props.age?.waiting;
  return (
    <div class={`card tile ${waiting ? "" : (props.tone ?? "")}`} aria-busy={waiting}>
      <div class="title">
        {props.title} {props.age && <AsOf age={props.age} />}
      </div>
      <div class="value">{waiting ? <Pending /> : props.value}</div>
      {props.values && <Sparkline label={`${props.title}, the last quarter of an hour`} values={props.values} />}
      {props.share !== undefined && (
        <div class="bar" role="img" aria-label={`${Math.round(props.share * 100)} % used`}>
          <span style={{ width: `${Math.round(props.share * 100)}%` }} />
        </div>
      )}
      <div class="quiet note">{props.note}</div>
    </div>
  );
}

const known = (value: number | null | undefined) => (value === null || value === undefined ? "–" : formatNumber(value));

export function rate(perS: number | null): string {
  return perS === null ? "–" : perS > 0 && perS < 0.1 ? "< 0.1" : formatNumber(perS);
}

export function bytesRate(perS: number | null): string {
  return perS === null ? "–" : `${formatBytes(perS)}/s`;
}

function total(streams: readonly StreamRow[], name: "envelopes_per_s" | "bytes_per_s"): number | null {
  const known = streams.map((one) => one[name]).filter((one) => one !== null);
  return known.length ? known.reduce((sum, one) => sum + one, 0) : null;
}

function history(streams: readonly StreamRow[], name: "envelopes" | "bytes"): number[] | undefined {
  const known = streams.map((one) => one.history?.[name]).filter((one) => one !== undefined);
  return known[0]?.map((_, at) => known.reduce((sum, one) => sum + (one[at] ?? 0), 0));
}

function lagHistory(picture: Picture): number[] | undefined {
  const length = Math.max(0, ...picture.groups.map((group) => group.history.length));
  if (length < 2) return undefined;
  return Array.from({ length }, (_, at) =>
    picture.groups.reduce((sum, group) => sum + (group.history[group.history.length - length + at] ?? 0), 0),
  );
}
