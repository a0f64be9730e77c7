/**
 * The unlock that is in force in this page, if there is one: every page that opens end-to-end data uses it.
 * Never outlives the page; `lock()` is called on time-out, on sign-out and when the tab closes.
 */

import { signal } from "@preact/signals";
import type { UnlockSession } from "../unlock/index";

export const unlockSession = signal<UnlockSession | undefined>(undefined);
