/**
 * The keys of the days of an index, from roots that were opened: each by its agent and stream.
 * Never hands out a root: its secret is wiped when the keys of its days are made.
 */

import { dayOf, Ratchet, type Field, FIELDS, type Root } from "../unlock/blindIndex";
import { toHex, wipe } from "../unlock/bytes";
import type { Span } from "./server";

/** How far before a day its root may lie. */
export const LOOK_BACK_DAYS = 7;

const FIELDS_OF: Readonly<Record<string, readonly Field[]>> = {
  email: FIELDS,
  keystrokes: ["text", "title"],
  screen: ["text", "title"],
};

/** What makes the tokens of one day of one stream of one agent. */
export interface DayKey {
  readonly key: CryptoKey;
  readonly fields: readonly Field[];
}

/** A root and the agent that sent it. */
export interface AgentRoot extends Root {
  readonly agentId: string;
}

/** The key of each day of each span, as far as there is a root for it. The roots' secrets are wiped. */
export async function makeDayKeys(spans: readonly Span[], roots: readonly AgentRoot[]): Promise<DayKey[]> {
  const lines = groupByLine(roots);
  try {
    const made: DayKey[] = [];
    for (const span of spans) {
      const days = [dayOf(span.from_ms), dayOf(span.until_ms) + 1] as const; // told a moment after it was seen
      for (const line of lines.get(`${span.agent_id} ${span.stream}`)?.values() ?? []) {
        const keys = await keysOf(line, ...days);
        made.push(...keys.map((key) => ({ key, fields: FIELDS_OF[span.stream] ?? FIELDS })));
      }
    }
    return made;
  } finally {
    wipe(...roots.map((root) => root.secret));
  }
}

/** Roots by agent and stream, then by root id. */
function groupByLine(roots: readonly AgentRoot[]): Map<string, Map<string, AgentRoot[]>> {
  const lines = new Map<string, Map<string, AgentRoot[]>>();
  for (const root of roots) {
    const name = `${root.agentId} ${root.stream}`;
    const line = lines.get(name) ?? new Map<string, AgentRoot[]>();
    lines.set(name, line);
    const id = toHex(root.rootId);
    line.set(id, [...(line.get(id) ?? []), root]);
  }
  return lines;
}

/** The keys of the days from `first` to `last` under one root: from that of a day itself, or the last before it. */
async function keysOf(roots: readonly Root[], first: number, last: number): Promise<CryptoKey[]> {
  const keys: CryptoKey[] = [];
  for (let day = first; day <= last; day++) {
    const before = roots.filter((root) => root.day <= day && day - root.day <= LOOK_BACK_DAYS);
    if (!before.length) continue;
    const root = before.reduce((latest, one) => (one.day > latest.day ? one : latest));
    const ratchet = new Ratchet(root.secret, root.day);
    await ratchet.advance(day);
    keys.push(await ratchet.key());
    ratchet.erase();
  }
  return keys;
}
