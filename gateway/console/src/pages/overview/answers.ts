/** What the API tells of the installation. Times are milliseconds since 1970; `null`: not known (yet). */

export interface AgentRow {
  agent_id: string;
  person: string;
  computer: string;
  gateway: string;
  since_ms: number;
}

export interface Agents {
  known: number;
  connected: number;
  silent: number;
  went_silent: AgentRow[];
  suites: { tls: string; suite: string; forward_secret: boolean; agents: number }[];
  age_s: number | null;
}

export interface StreamRow {
  stream: string;
  envelopes: number;
  envelopes_per_s: number | null;
  bytes_per_s: number | null;
  history: { from_ms: number; step_ms: number; envelopes: number[]; bytes: number[] } | null;
}

export interface GroupRow {
  group: string;
  what: string;
  state: string;
  members: number;
  partitions: number;
  held: number;
  lag: number;
  per_s: number | null;
  history: number[];
}

export interface ComponentRow {
  node_id: string;
  component: string;
  phase: string;
  detail: string;
  version: string;
  address: string;
  restarts: number;
  since_ms: number;
  told_ms: number;
  stale: boolean;
  stoppable: boolean;
  wanted: "running" | "stopped";
  wished_by: string;
  wished_ms: number | null;
  stop_says: string;
}

export interface Problem {
  tone: "bad" | "warn";
  title: string;
  advice: string;
  link: string;
}

export interface Away {
  store: string;
  fault: string;
  since_ms: number;
}

interface Named {
  name: string;
  bytes: number;
}

export interface Storage {
  archive_bytes: number | null;
  archive_streams: Named[];
  archive_days: Named[];
  disk_free_bytes: number | null;
  disk_bytes: number | null;
  postgresql_bytes: number | null;
  elasticsearch_bytes: number | null;
  elasticsearch_documents: number | null;
  elasticsearch_status: string;
  kafka_bytes: number | null;
}

export interface Gaps {
  last_day: number;
  days: { day: string; count: number }[];
  recent: GapRow[];
}

export interface GapRow {
  agent_id: string;
  person: string;
  computer: string;
  stream: string;
  reason: string;
  noticed_ms: number;
  from_ms: number;
  until_ms: number;
}

/** What is read from stores: each part by itself. */
export type PartName = "readers" | "tables" | "arrivals" | "archive" | "elasticsearch" | "disk";

export interface Part {
  part: PartName;
  /** When it was read last; `null`: never yet. */
  read_ms: number | null;
  /** Somebody has just begun to look, and it was not read since. */
  measuring: boolean;
}

export interface Picture {
  measured_ms: number;
  node: string;
  problems: Problem[];
  parts: Part[];
  away: Away[];
  agents: Agents;
  streams: StreamRow[];
  acks: { node: string; per_s: number | null; p50_ms: number | null; p99_ms: number | null }[];
  groups: GroupRow[];
  nodes: { node_id: string; role: string; state: string; address: string; since_ms: number }[];
  components: ComponentRow[];
  storage: Storage;
  gaps: Gaps | null;
  dead_letters: number | null;
  alerts: { open: number; high: number } | null;
  keks_missing: string[];
}

/** Names of streams and groups that people read. */
export function streamTitle(stream: string): string {
  return stream === "index" ? "blind index" : stream;
}
