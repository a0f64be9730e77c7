/** What the API tells of processors, replays and dead letters. Times are milliseconds since 1970; `null`: not known. */

import type { Away, ComponentRow } from "../overview/answers";

export type { ComponentRow };

export interface Processor {
  group: string;
  name: string;
  what: string;
  state: "running" | "partly" | "stopped" | "away" | "idle";
  runs_in: string;
  topics: { topic: string; partitions: number; lag: number }[];
  readers: { client: string; host: string; partitions: number }[];
  partitions: number;
  held: number;
  lag: number;
  per_s: number | null;
  history: number[];
}

export interface ProcessorsAnswer {
  measured_ms: number;
  processors: Processor[];
  components: ComponentRow[];
  away: Away[];
}

export interface Progress {
  done: number;
  bytes: number;
  results: number;
  dead: number;
  left: number | null;
  total: number | null;
  per_s: number | null;
  bytes_per_s: number | null;
  eta_s: number | null;
  paused: boolean;
  share: number | null;
}

export interface OffsetRange {
  partition: number;
  first: number;
  end: number | null;
}

export interface Run {
  run_id: string;
  node_id: string;
  state: "waiting" | "running" | "cancelling" | "done" | "cancelled" | "stopped" | "failed" | "interrupted";
  fault: string;
  topic: string;
  processor: string;
  source: "kafka" | "archive";
  since_ms: number | null;
  until_ms: number | null;
  agents: string[];
  offsets: OffsetRange[];
  actor: string;
  purpose: string;
  asked_ms: number;
  changed_ms: number;
  expected_records: number | null;
  expected_bytes: number | null;
  progress: Progress;
  by_command: boolean;
}

export interface ReplaysAnswer {
  replays: Run[];
  processors: { processor: string; topics: string[] }[];
}

export interface Range {
  topic: string;
  processor: string;
  source: "kafka" | "archive";
  since_ms: number | null;
  until_ms: number | null;
  agents: string[];
  offsets: OffsetRange[];
}

export interface Estimate {
  records: number;
  bytes: number;
  agents: number;
  first_ms: number | null;
  last_ms: number | null;
}

export interface Letter {
  id: string;
  topic: string;
  partition: number;
  offset: number;
  key: string;
  time_ms: number;
  stages: string[];
  reason: string;
  detail: string;
  bytes: number;
  settled: string;
}

interface Counted {
  value: string;
  count: number;
}

export interface LettersAnswer {
  letters: Letter[];
  total: number;
  reasons: Counted[];
  topics: Counted[];
  stages: Counted[];
}

export interface LetterDetail extends Letter {
  headers: Record<string, string>;
  fetched: boolean;
  described: Record<string, unknown>;
  content: string | null;
  malformed: string;
}
