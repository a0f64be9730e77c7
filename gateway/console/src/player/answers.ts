/**
 * What the server answers about a person's recordings, as the player reads it. Times are milliseconds.
 * Never holds content: these say when there is something, and where.
 */

import type { StreamLabel } from "../unlock/streams";

export interface Person {
  readonly person: string;
  readonly computers: readonly string[];
  readonly connected: boolean;
  readonly last_seen_ms: number;
  readonly streams: readonly string[];
}

export interface RecordedAgent {
  readonly agent_id: string;
  readonly computer: string;
}

/** A stretch of time; `until_ms` is not in it. */
export interface Stretch {
  readonly from_ms: number;
  readonly until_ms: number;
}

export interface RecordedSpan extends Stretch {
  readonly stream: StreamLabel;
  readonly agent_id: string;
  readonly end_to_end: boolean;
}

export interface Gap extends Stretch {
  readonly stream: string;
  readonly agent_id: string;
  readonly reason: string;
  readonly detail: string;
}

export interface ActivitySpan extends Stretch {
  readonly agent_id: string;
  readonly application: string;
  readonly title: string;
  readonly idle: boolean;
  readonly paused: boolean;
}

export interface TimelineAlert {
  readonly at_ms: number;
  readonly rule: string;
  readonly severity: string;
  readonly document_id: string;
  readonly agent_id: string;
}

/** `GET /recordings/timeline` */
export interface TimelineAnswer {
  readonly person: string;
  readonly since_ms: number;
  readonly until_ms: number;
  readonly resolution_ms: number;
  readonly agents: readonly RecordedAgent[];
  readonly spans: readonly RecordedSpan[];
  readonly gaps: readonly Gap[];
  readonly activity: readonly ActivitySpan[];
  readonly activity_coarse: boolean;
  readonly alerts: readonly TimelineAlert[];
}

export interface TextPiece {
  readonly text: string;
  readonly hit: boolean;
}

/** One find of `GET /search`, as much as a marker needs. */
export interface SearchHit {
  readonly id: string;
  readonly index: string;
  readonly time_ms: number;
  readonly until_ms: number;
  readonly agent_id: string;
  readonly kind: string;
  readonly stream: string;
  readonly title: readonly TextPiece[];
  readonly fragments: readonly (readonly TextPiece[])[];
  readonly frame_at_ms: number | null;
}

export interface ReadLine {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly display: number;
  readonly appeared_ms: number;
  readonly went_ms: number | null;
  readonly hit: boolean;
}

/** `GET /search/documents/{index}/{id}`, as much as the screen needs. */
export interface ReadDocument {
  readonly id: string;
  readonly agent_id: string;
  readonly time_ms: number;
  readonly until_ms: number;
  readonly lines: readonly ReadLine[];
}

/** `POST /exports` */
export interface Issued {
  readonly reference: string;
  readonly issued_at_ms: number;
  readonly text_url: string | null;
}
