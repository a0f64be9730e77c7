/**
 * Whole documents with the places of their lines, asked for once while the same words are searched for.
 * Never keeps more than the last few, and nothing that was sealed.
 */

import { getJson } from "../../api/client";
import type { Result, WholeDocument } from "./answer";

const KEPT = 60;
const kept = new Map<string, Promise<WholeDocument>>();

/** The document with the words marked; throws `ApiError`. */
export function loadDocument(document: NonNullable<Result["document"]>, words: string, fuzzy: boolean): Promise<WholeDocument> {
  const path = `/search/documents/${encodeURIComponent(document.index)}/${encodeURIComponent(document.id)}`;
  const name = JSON.stringify([path, words, fuzzy]);
  let wanted = kept.get(name);
  if (!wanted) {
    wanted = getJson<WholeDocument>(path, { q: words, fuzzy });
    kept.set(name, wanted);
    wanted.catch(() => kept.delete(name));
    if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
  }
  return wanted;
}
