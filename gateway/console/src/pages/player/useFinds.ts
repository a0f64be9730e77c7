/** What the search of the address finds in this day, and where on the screens its words stand. */

import { useEffect, useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { may } from "../../app/session";
import type { ReadDocument, SearchHit, TimelineAnswer } from "../../player/answers";
import { useLoad, type Loaded } from "../../ui/useLoad";

const PAGE = 100;
const MOST = 500;
/** When words went is often not known: they are boxed for so long after they appeared. */
export const BOXED_MS = 8000;

interface Answer {
  hits: SearchHit[];
  after: string | null;
}

export function useFinds(q: string, timeline: TimelineAnswer): Loaded<readonly SearchHit[]> {
  return useLoad(async (signal) => {
    const hits: SearchHit[] = [];
    if (!q || !may("search")) return hits;
    for (let after = ""; hits.length < MOST; ) {
      const query = {
        q, after, person: timeline.person, since_ms: timeline.since_ms, until_ms: timeline.until_ms, order: "oldest", limit: PAGE, facets: "false",
      };
      const answer = await getJson<Answer>("/search", query, signal);
      hits.push(...answer.hits);
      if (!answer.after || !answer.hits.length) break;
      after = answer.after;
    }
    return hits;
  }, [q, timeline]);
}

/** The documents of the hits on screens that hold the moment, each asked for once. */
export function useDocuments(hits: readonly SearchHit[], q: string, at: number): readonly ReadDocument[] {
  const [documents, setDocuments] = useState<ReadonlyMap<string, ReadDocument | undefined>>(new Map());
  const near = hits.filter((hit) => hit.kind === "screen" && hit.time_ms <= at + 1000 && at <= Math.max(hit.until_ms, hit.time_ms + BOXED_MS)).slice(-4);
  useEffect(() => setDocuments(new Map()), [q]);
  useEffect(() => {
    for (const hit of near) {
      if (documents.has(hit.id)) continue;
      setDocuments((before) => new Map(before).set(hit.id, undefined));
      getJson<ReadDocument>(`/search/documents/${encodeURIComponent(hit.index)}/${encodeURIComponent(hit.id)}`, { q }).then(
        (document) => setDocuments((before) => new Map(before).set(hit.id, document)),
        () => {}, // the screen is there all the same
      );
    }
  }, [near.map((hit) => hit.id).join(" ")]);
  return near.flatMap((hit) => documents.get(hit.id) ?? []);
}
