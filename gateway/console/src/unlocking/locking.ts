/**
 * How an unlock begins, runs out and ends in this page.
 * Never lets anything opened outlive it: it is locked by a person, by time, on sign-out, and when the page goes away.
 */

import { batch, computed, effect, signal } from "@preact/signals";
import { request, signedOut } from "../api/client";
import { beforeSignOut } from "../app/session";
import type { OpenedSource } from "../player/source";
import type { UnlockSession } from "../unlock/session";
import { serverTexts, unlockFacts, unlockSession, unlockSource, type UnlockFacts } from "./current";

/** What the server is told; `refused` is what it told: that the unlock is over, as it has it. */
export type EndReason = "locked" | "time_out" | "signed_out" | "closed" | "refused";

/** So long before the end a person is warned. */
export const WARNING_MS = 60_000;
const TICK_MS = 500;

/** Why the last unlock ended, until there is another: the person is told. */
export const endedBy = signal<EndReason | undefined>(undefined);
const nowMs = signal(Date.now());
/** What is left, in milliseconds; 0 when locked. */
export const leftMs = computed(() => Math.max(0, (unlockFacts.value?.endsAtMs ?? 0) - nowMs.value));

let ticking: ReturnType<typeof setInterval> | undefined;

/** From now on `source` is the page's, and `session` when its keys are open here; what was unlocked before is locked. */
export function begin(facts: UnlockFacts, source: OpenedSource, session?: UnlockSession): void {
  void lock("locked");
  nowMs.value = Date.now();
  endedBy.value = undefined;
  batch(() => {
    unlockFacts.value = facts;
    unlockSession.value = session;
    unlockSource.value = source;
  });
  ticking = setInterval(look, TICK_MS);
}

/** The unlock that is in force goes on with other keys. Whoever follows it reads anew; purpose and end stay. */
export function proceed(source: OpenedSource, session: UnlockSession): void {
  batch(() => {
    unlockSession.value = session;
    unlockSource.value = source;
    unlockFacts.value = { ...unlockFacts.peek()!, keyIds: session.keyIds };
  });
}

/** Drop keys and everything that was opened, and tell the server that it is over; the promise is only of the telling. */
export async function lock(reason: EndReason): Promise<void> {
  const session = unlockSession.peek();
  const facts = unlockFacts.peek();
  if (!facts) return;
  clearInterval(ticking);
  unlockSource.peek()?.lock();
  batch(() => {
    unlockSession.value = undefined;
    unlockSource.value = undefined;
    unlockFacts.value = undefined;
    serverTexts.value = [];
    endedBy.value = reason;
  });
  if (session && reason !== "refused") await tell(facts.id, reason, session.opened);
}

/** Lock what is over; a page that slept is late, and looks when it wakes. */
function look(): void {
  nowMs.value = Date.now();
  if (unlockFacts.peek() && !leftMs.peek()) void lock("time_out");
}

async function tell(id: string, reason: EndReason, opened: number): Promise<void> {
  const body = JSON.stringify({ reason, opened });
  const headers = { "Content-Type": "application/json" };
  // What the audit misses here it has by the time box that was told at the beginning.
  await request(`/unlock/browser/${id}/end`, { method: "POST", body, headers, keepalive: true }).catch(() => undefined);
}

beforeSignOut.push(() => lock("signed_out"));
effect(() => {
  if (signedOut.value) void lock("signed_out");
});
addEventListener("pagehide", () => void lock("closed"));
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", look);
addEventListener("keydown", (event) => {
  if (!event.ctrlKey || !event.shiftKey || event.key.toLowerCase() !== "l" || !unlockFacts.peek()) return;
  event.preventDefault();
  void lock("locked");
});
