/** What follows a signal with its change itself. Never later: `useSignalEffect` waits until the page is next painted. */

import { effect } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";

/** Calls `act`, that of the first drawing, now and whenever a signal that it reads has changed, while the part is shown. */
export function useAtOnce(act: () => void): void {
  useLayoutEffect(() => effect(act), []);
}
