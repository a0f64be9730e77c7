/**
 * Asking again and again without a person: such requests do not keep a session from ending by idleness.
 * Never used for what somebody did.
 */

import { useEffect } from "preact/hooks";
import { request, withQuery, type Query } from "./client";

export async function getQuietly<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { headers: { "X-Sealstream-Background": "1" } };
  if (signal) init.signal = signal;
  const response = await request(withQuery(path, query), init);
  return (await response.json()) as T;
}

/** Calls `act` every `everyMs` while `on` and while the page is seen. */
export function useEvery(everyMs: number, on: boolean, act: () => void): void {
  useEffect(() => {
    if (!on) return;
    const timer = setInterval(() => document.visibilityState === "visible" && act(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, on, act]);
}
