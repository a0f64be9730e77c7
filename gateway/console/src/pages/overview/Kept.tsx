/** What is kept where, which holes there are, and which agents went away. */

import { gapLink } from "../../player/gapLink";
import { reasonOf } from "../../player/markers";
import { Link } from "../../app/router";
import { may } from "../../app/session";
import { formatBytes, formatDuration, formatNumber } from "../../ui/format";
import { Badge, Loading, Table, Time, type Column } from "../../ui/parts";
import { AsOf, ageOf, Pending, type Age } from "./age";
import { streamTitle, type AgentRow, type Agents, type GapRow, type Gaps, type PartName, type Picture, type Storage } from "./answers";

export function Stores({ picture }: { picture: Picture }) {
  const { storage } = picture;
  const rows: [string, number | null, string, PartName][] = [
    ["Archive", storage.archive_bytes, "", "archive"],
    ["Kafka", storage.kafka_bytes, storage.kafka_bytes === null ? "not on this machine" : "waits for 7 days", "disk"],
    ["PostgreSQL", storage.postgresql_bytes, "", "archive"],
    ["Elasticsearch", storage.elasticsearch_bytes, documents(storage), "elasticsearch"],
  ];
  const archive = ageOf(picture, "archive");
  return (
    <>
      <dl class="facts">
        {rows.map(([name, bytes, note, part]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <Size bytes={bytes} note={note} age={ageOf(picture, part)} />
            </dd>
          </div>
        ))}
      </dl>
      {archive.waiting ? (
        <Loading what="Reading the archive" />
      ) : (
        <>
          <h3>Archive by stream</h3>
          <Bars rows={storage.archive_streams.map((one) => [streamTitle(one.name), one.bytes, formatBytes(one.bytes)])} none="The archive is empty." />
          <h3>Archive by day</h3>
          <Bars rows={storage.archive_days.slice(-7).map((one) => [one.name, one.bytes, formatBytes(one.bytes)])} none="The archive is empty." />
        </>
      )}
    </>
  );
}

function Size(props: { bytes: number | null; note: string; age: Age }) {
  if (props.age.waiting) return <Pending />;
  return (
    <>
      {props.bytes === null ? "–" : formatBytes(props.bytes)} {props.note && <span class="quiet">{props.note}</span>} <AsOf age={props.age} />
    </>
  );
}

function documents(storage: Storage): string {
  const count = storage.elasticsearch_documents;
  return count === null ? "" : `${formatNumber(count)} documents, ${storage.elasticsearch_status}`;
}

/** Amounts as bars with their numbers; the longest is the largest. */
function Bars(props: { rows: readonly (readonly [string, number, string])[]; none: string }) {
  const most = Math.max(1, ...props.rows.map((row) => row[1]));
  if (!props.rows.length) return <p class="quiet">{props.none}</p>;
  return (
    <ul class="bars">
      {props.rows.map(([name, amount, shown]) => (
        <li key={name}>
          <span>{name}</span>
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${(100 * amount) / most}%` }} />
          </span>
          <span class="number">{shown}</span>
        </li>
      ))}
    </ul>
  );
}

const GAPS: readonly Column<GapRow>[] = [
  { title: "Whose", show: (row) => <Whose {...row} link={gapLink(row.person, row)} /> },
  { title: "Stream", keep: true, show: (row) => row.stream },
  { title: "Why", show: (row) => reasonOf({ reason: row.reason || "unknown", detail: "" }) },
  { title: "When", show: (row) => <GapTime gap={row} /> },
];

/** From when, and how long; where that is not known, when it was noticed. */
function GapTime({ gap }: { gap: GapRow }) {
  const ms = gap.until_ms - gap.from_ms;
  return (
    <>
      <Time ms={gap.from_ms} age /> {ms > 0 && <span class="quiet nowrap">for {formatDuration(ms)}</span>}
    </>
  );
}

export function GapPart(props: { gaps: Gaps | null }) {
  if (!props.gaps) return <p class="quiet">PostgreSQL has not told of gaps yet.</p>;
  const { days, recent } = props.gaps;
  if (!days.length) return <p class="quiet">No gap was noticed in the last two weeks.</p>;
  return (
    <>
      <Bars rows={days.map((one) => [one.day, one.count, formatNumber(one.count)])} none="" />
      <Table label="Newest gaps" columns={GAPS} rows={recent} id={(row) => `${row.agent_id}-${row.noticed_ms}-${row.stream}`} />
    </>
  );
}

const SILENT: readonly Column<AgentRow>[] = [
  { title: "Agent", show: (row) => <Whose {...row} link={`/player?person=${encodeURIComponent(row.person)}`} /> },
  { title: "Was on", show: (row) => row.gateway.replace(/\/gateway$/, "") },
  { title: "Silent since", keep: true, show: (row) => <Time ms={row.since_ms} age /> },
];
/** On which gateway it was, helps only who looks after gateways. */
const SILENT_PEOPLE = SILENT.filter((column) => column.title !== "Was on");

export function SilentAgents(props: { agents: Agents }) {
  const { agents } = props;
  return (
    <>
      {agents.went_silent.length ? (
        <Table label="Agents that went away" columns={may("nodes") ? SILENT : SILENT_PEOPLE} rows={agents.went_silent} id={(row) => row.agent_id} />
      ) : (
        <p class="quiet">No agent went away within the last week.</p>
      )}
      {agents.silent > agents.went_silent.length && <p class="quiet">The newest of {formatNumber(agents.silent)} within a week.</p>}
      {agents.suites.length > 0 && (
        <ul class="plain" aria-label="How agents are connected">
          {agents.suites.map((one) => (
            <li key={`${one.tls} ${one.suite}`}>
              {formatNumber(one.agents)} connected by {one.tls.replace("TLSv", "TLS ")} <span class="quiet">{one.suite}</span>{" "}
              {!one.forward_secret && <Badge tone="warn">no forward secrecy</Badge>}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

/** A person with their computer for who may see them; for others the agent alone. */
function Whose(props: { person: string; computer: string; agent_id: string; link: string }) {
  if (!props.person) return <code title="Whose agent it is, your account may not see">{props.agent_id.slice(0, 8)}</code>;
  const named = (
    <>
      <bdi>{props.person}</bdi> on <bdi>{props.computer}</bdi>
    </>
  );
  return may("recordings") ? <Link href={props.link}>{named}</Link> : <span>{named}</span>;
}
