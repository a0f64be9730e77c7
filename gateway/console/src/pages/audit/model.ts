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

export const actionWords = (action: string) => action.replaceAll("_", " ");

export function outcomeTone(outcome: string): "good" | "bad" | "warn" | undefined {
  if (outcome === "done" || outcome === "granted") return "good";
  if (outcome === "refused" || outcome === "failed") return "bad";
  return outcome === "broken_off" ? "warn" : undefined;
}
