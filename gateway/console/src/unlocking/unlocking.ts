/**
 * Unlocking in the browser (R6.7): a person's keys open end-to-end data in this page.
 * Never sends one: the server is told that it happens, by key id and purpose, before anything is opened.
 */

import { ApiError, postJson } from "../api/client";
import { KeySource } from "../player/source";
import { toHex } from "../unlock/bytes";
import { LockedError } from "../unlock/errors";
import type { Identity } from "../unlock/identity";
import { UnlockSession } from "../unlock/session";
import { unlockFacts, unlockSession } from "./current";
import { begin, lock, proceed } from "./locking";

export const MINUTES = [5, 15, 30, 60] as const;
export const USUAL_MINUTES = 15;
export const SHORTEST_PURPOSE = 3;
export const LONGEST_PURPOSE = 1000;

export interface UnlockWish {
  /** KEKs that are open; at least one. */
  readonly identities: readonly Identity[];
  readonly purpose: string;
  readonly minutes: number;
}

/** From now on these keys open in this page. Throws `ApiError` when it cannot be audited: then nothing is unlocked. */
export async function unlock({ identities, purpose, minutes }: UnlockWish): Promise<void> {
  const session = new UnlockSession();
  try {
    for (const identity of identities) session.add(identity);
    const { keyIds } = session;
    const { id } = await postJson<{ id: string }>("/unlock/browser", { purpose, keys: keyIds, minutes });
    begin({ id, purpose, keyIds, endsAtMs: Date.now() + minutes * 60_000, onServer: false }, new KeySource(session), session);
  } catch (error) {
    session.lock();
    throw error;
  }
}

/**
 * Have more keys in the unlock that is in force: same purpose, same end. Throws `ApiError` when it cannot be audited,
 * and `LockedError` when it was locked meanwhile: then they open nothing. For the server it may be over: then it is locked.
 */
export async function addKeys(identities: readonly Identity[]): Promise<void> {
  const facts = unlockFacts.peek();
  if (!facts || facts.onServer) throw new LockedError();
  const more = identities.filter(({ keyId }) => !facts.keyIds.includes(toHex(keyId)));
  if (!more.length) return;
  const keys = more.map(({ keyId }) => toHex(keyId));
  try {
    await postJson(`/unlock/browser/${facts.id}/keys`, { purpose: facts.purpose, keys });
  } catch (error) {
    if (isOver(error) && unlockFacts.peek()?.id === facts.id) await lock("refused");
    throw error;
  }
  const before = unlockSession.peek();
  if (!before || unlockFacts.peek()?.id !== facts.id) throw new LockedError();
  const session = before.extend(more);
  proceed(new KeySource(session), session);
}

/** Whether the server says that there is no such unlock any more. */
function isOver(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}
