/** What a part of a page does with the lock itself. Never later. */

import { untracked } from "@preact/signals";
import { useAtOnce } from "../ui/useAtOnce";
import { unlockFacts } from "./current";

/** Calls `forget`, that of the first drawing, when the page is locked, and at once where it is. */
export function useLock(forget: () => void): void {
  useAtOnce(() => {
    if (!unlockFacts.value) untracked(forget);
  });
}
