/** Entries of the audit, and the filters that the page's address holds. */

export interface Entry {
  id: string;
  time_ms: number;
  actor: string;
  action: string;
  target: string;
  purpose: string;
  outcome: string;
  detail: Record<string, string>;
}

export interface Trail {
  entries: Entry[];
  after: string | null;
}

export const FILTERS = ["actor", "person", "target", "outcome", "since_ms", "until_ms"] as const;

/** What the server is asked, by the address. */
export function asQuery(search: URLSearchParams): Record<string, string | readonly string[]> {
  const wanted: Record<string, string | readonly string[]> = {};
  for (const name of FILTERS) {
    const value = search.get(name);
    if (value) wanted[name] = value;
  }
  const actions = search.getAll("action");
  if (actions.length) wanted["action"] = actions;
  return wanted;
}

const AGENT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/;

/** What was done to whom: an agent by the name of its person, where the entry has it. The details have its id. */
export function targetWords(entry: Pick<Entry, "target" | "detail">): string {
  const { persons } = entry.detail;
  const named = persons && !persons.includes(",") ? entry.target.replace(AGENT, () => persons) : entry.target;
  return named.replaceAll(",", ", ").replaceAll("  ", " ");
}

export const actionWords = (action: string) => action.replaceAll("_", " ");

export function outcomeTone(outcome: string): "good" | "bad" | "warn" | undefined {
  if (outcome === "done" || outcome === "granted") return "good";
  if (outcome === "refused" || outcome === "failed") return "bad";
  return outcome === "broken_off" || outcome === "over" ? "warn" : undefined;
}
