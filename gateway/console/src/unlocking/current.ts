/**
 * The unlock that is in force in this page, if there is one: every page that opens end-to-end data uses it.
 * Never outlives the page; it is locked on time-out, on sign-out and when the tab closes.
 */

import { computed, signal } from "@preact/signals";
import type { DatedText } from "../blindsearch/texts";
import type { OpenedSource } from "../player/source";
import type { UnlockSession } from "../unlock/index";

/** What a person is told of the unlock. Holds no key. */
export interface UnlockFacts {
  /** The server's name for it, which the audit has. */
  readonly id: string;
  readonly purpose: string;
  /** Key ids of the KEKs, in hexadecimal. */
  readonly keyIds: readonly string[];
  readonly endsAtMs: number;
  /** The server opened it (R6.6): then there is no `unlockSession`. */
  readonly onServer: boolean;
}

/** What was opened for this page, by whichever way; `undefined` when locked: then nothing of it may stay in sight. */
export const unlockSource = signal<OpenedSource | undefined>(undefined);
/** What opens envelopes in this page; `undefined` when locked: then nothing that was opened may stay in sight. */
export const unlockSession = signal<UnlockSession | undefined>(undefined);
export const unlockFacts = signal<UnlockFacts | undefined>(undefined);
/** Why it was unlocked, for the `purpose` of every request for envelopes; empty when locked. */
export const unlockPurpose = computed(() => unlockFacts.value?.purpose ?? "");

/** What the server opened for this person and this page; gone with the lock. */
export const serverTexts = signal<readonly DatedText[]>([]);

/** Whether the dialog that unlocks is wanted. */
export const unlockWanted = signal(false);

/** Show the dialog that asks for key file, passphrase and purpose. */
export function askToUnlock(): void {
  unlockWanted.value = true;
}
