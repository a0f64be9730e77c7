/** The end of a stay in a dialog, by its closing or with the page. Never asks whether somebody wants to stay. */

import { useEffect } from "preact/hooks";

/** Calls `leave`, that of the first drawing, when the dialog is closed, or the page goes away. */
export function useLeaving(leave: () => void): void {
  useEffect(() => {
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      leave();
    };
  }, []);
}
