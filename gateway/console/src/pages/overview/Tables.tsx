/** Streams, readers of Kafka, and nodes, a line each. */

import { Badge, Empty, Table, Time, type Column } from "../../ui/parts";
import { formatNumber } from "../../ui/format";
import { streamTitle, type ComponentRow, type GroupRow, type Picture, type StreamRow } from "./answers";
import { Sparkline } from "./Sparkline";
import { bytesRate, rate } from "./Tiles";

const STREAMS: readonly Column<StreamRow>[] = [
  { title: "Stream", show: (row) => streamTitle(row.stream) },
  { title: "Envelopes/s", number: true, show: (row) => rate(row.envelopes_per_s) },
  { title: "Data/s", number: true, show: (row) => bytesRate(row.bytes_per_s) },
  { title: "In all", number: true, show: (row) => formatNumber(row.envelopes) },
  {
    title: "15 min",
    show: (row) =>
      row.history && <Sparkline label={`${row.stream}: bytes in the last quarter of an hour`} values={row.history.bytes} height={22} />,
  },
];

const GROUPS: readonly Column<GroupRow>[] = [
  { title: "Reader", show: (row) => <span title={row.group}>{row.what}</span> },
  {
    title: "Behind",
    number: true,
    show: (row) => (row.lag >= 1000 ? <Badge tone="warn">{formatNumber(row.lag)}</Badge> : formatNumber(row.lag)),
  },
  { title: "Records/s", number: true, show: (row) => rate(row.per_s) },
  {
    title: "Partitions",
    number: true,
    show: (row) =>
      row.members === 0 ? <Badge tone={row.lag ? "bad" : "warn"}>nobody reads</Badge> : `${row.held} of ${row.partitions}`,
  },
];

type Node = Picture["nodes"][number];
const STATES: Record<string, "good" | "warn" | "bad"> = { ready: "good", joined: "warn", draining: "warn", lost: "bad" };

const NODES: readonly Column<Node>[] = [
  { title: "Node", show: (row) => row.node_id },
  { title: "State", show: (row) => <Badge tone={STATES[row.state] ?? "warn"}>{row.state}</Badge> },
  { title: "Address", show: (row) => row.address },
  { title: "Since", show: (row) => <Time ms={row.since_ms} age /> },
];

export function Streams(props: { rows: readonly StreamRow[] }) {
  const used = props.rows.filter((row) => row.envelopes);
  if (!used.length) {
    return (
      <Empty title="Nothing was recorded yet">
        <p>Streams are listed as soon as the first agent sends.</p>
      </Empty>
    );
  }
  return <Table label="Streams" columns={STREAMS} rows={used} id={(row) => row.stream} />;
}

export function Readers(props: { rows: readonly GroupRow[] }) {
  if (!props.rows.length) return <p class="quiet">Kafka has not told of any reader yet.</p>;
  return <Table label="Readers of Kafka" columns={GROUPS} rows={props.rows} id={(row) => row.group} />;
}

/** Those that want attention first; of the rest the number is enough, unless somebody opens them. */
export function Nodes(props: { rows: readonly Node[]; components: readonly ComponentRow[] }) {
  const unwell = props.rows.filter((row) => row.state !== "ready");
  const stopped = props.components.filter((row) => row.phase !== "ready").length;
  const ready = props.rows.length - unwell.length;
  return (
    <>
      <p>
        {formatNumber(ready)} of {formatNumber(props.rows.length)} processes are ready
        {props.components.length > 0 && `; ${props.components.length - stopped} of ${props.components.length} components run`}.
      </p>
      {unwell.length > 0 && <Table label="Nodes that are not ready" columns={NODES} rows={unwell} id={(row) => row.node_id} />}
      <details>
        <summary>All processes</summary>
        <Table label="Nodes" columns={NODES} rows={props.rows} id={(row) => row.node_id} />
      </details>
    </>
  );
}
