/** What a part of a page does with the lock itself. Never later: `useSignalEffect` waits until the page is next painted. */

import { effect, untracked } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { unlockFacts } from "./current";

/** Calls `forget`, that of the first drawing, when the page is locked, and at once where it is. */
export function useLock(forget: () => void): void {
  useLayoutEffect(
    () =>
      effect(() => {
        if (!unlockFacts.value) untracked(forget);
      }),
    [],
  );
}
