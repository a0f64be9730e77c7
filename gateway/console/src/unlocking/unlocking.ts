/**
 * Unlocking in the browser (R6.7): a key file and its passphrase open end-to-end data in this page.
 * Never sends either: the server is told that it happens, by key id and purpose, before anything is opened.
 */

import { postJson } from "../api/client";
import type { Bytes } from "../unlock/bytes";
import { UnlockSession } from "../unlock/session";
import { begin } from "./locking";

export const MINUTES = [5, 15, 30, 60] as const;
export const USUAL_MINUTES = 15;
export const SHORTEST_PURPOSE = 3;
export const LONGEST_PURPOSE = 1000;

export interface UnlockWish {
  /** The key file's text. */
  readonly pem: string;
  /** Wiped here. */
  readonly passphrase: Bytes;
  readonly purpose: string;
  readonly minutes: number;
}

/** What a person should know about the key file. Throws `KeyFileError`, or `ApiError` when it cannot be audited. */
export async function unlock({ pem, passphrase, purpose, minutes }: UnlockWish): Promise<readonly string[]> {
  const session = new UnlockSession();
  try {
    const identity = await session.addKey(pem, passphrase);
    const { id } = await postJson<{ id: string }>("/unlock/browser", { purpose, keys: session.keyIds, minutes });
    begin({ id, purpose, keyIds: session.keyIds, endsAtMs: Date.now() + minutes * 60_000, onServer: false }, session);
    return identity.warnings;
  } catch (error) {
    session.lock();
    throw error;
  }
}
