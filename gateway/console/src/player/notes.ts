/**
 * What was decoded of the streams of text: terminal sessions and mails.
 * Never takes the same event twice, although windows tell sessions from their start.
 */

import type { Bytes } from "../unlock/bytes";
import type { Stretch } from "./answers";
import type { Piece } from "./pieces";

export interface TerminalEvent {
  readonly time_us: number;
  readonly session: string;
  readonly kind: "output" | "input" | "resize" | "start" | "end";
  readonly data: Bytes;
  readonly masked: boolean;
  readonly columns: number;
  readonly rows: number;
  readonly exit_code: number | null;
  readonly title: string;
  readonly alternate: boolean;
}

export interface Mail {
  readonly time_us: number;
  readonly agent: string;
  readonly message_id: string;
  readonly folder: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly subject: string;
  readonly sent_ms: number | null;
  readonly text: string;
  readonly attachments: readonly { name: string; content_type: string; size: number }[];
  readonly size: number;
}

export class Notes {
  readonly stretch: Stretch;
  /** Events of each terminal session, oldest first. */
  readonly sessions = new Map<string, TerminalEvent[]>();
  mails: Mail[] = [];
  sealed: ReadonlyMap<string, number> = new Map();
  damaged = 0;
  bytes = 0;
  readonly #seen = new Set<string>();

  constructor(stretch: Stretch) {
    this.stretch = stretch;
  }

  add({ head, kind, events, bytes }: Piece): void {
    const id = `${head.epoch}/${head.sequence}`;
    if (this.#seen.has(id)) return;
    this.#seen.add(id);
    this.bytes += bytes;
    if (kind === "email") this.mails.push(...(events as unknown as Omit<Mail, "agent">[]).map((mail) => ({ ...mail, agent: head.agent })));
    if (kind !== "keystrokes") return;
    for (const event of events as unknown as TerminalEvent[]) {
      const session = this.sessions.get(event.session);
      if (session) session.push(event);
      else this.sessions.set(event.session, [event]);
    }
  }

  finish(): void {
    for (const events of this.sessions.values()) events.sort((one, other) => one.time_us - other.time_us);
    this.mails.sort((one, other) => one.time_us - other.time_us);
  }
}

/** Sessions that had begun at the moment, the one with the latest event first. */
export function sessionsAt(notes: Notes, at: number): { id: string; events: readonly TerminalEvent[]; lastAt: number }[] {
  const until = at * 1000;
  const begun = [];
  for (const [id, events] of notes.sessions) {
    if (events[0]!.time_us > until) continue;
    const last = events[countUntil(events, until) - 1]!;
    begun.push({ id, events, lastAt: last.time_us / 1000 });
  }
  return begun.sort((one, other) => other.lastAt - one.lastAt);
}

/** How many events are not later than that. */
export function countUntil(events: readonly { time_us: number }[], until_us: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle]!.time_us <= until_us) low = middle + 1;
    else high = middle;
  }
  return low;
}
