/** What says that something is sealed end to end, and how to see it. */

import { Button } from "../../ui/parts";
import { askToUnlock, unlockFacts } from "../../unlocking/current";

export function SealedNotice({ what }: { what: string }) {
  const facts = unlockFacts.value;
  const action = !facts ? "Unlock to see" : facts.onServer ? "Open more" : "Add a key";
  return (
    <div class="no-picture sealed">
      <p>
        <strong>Sealed end to end</strong>
      </p>
      <p>{reasonOf(what, facts?.onServer)}</p>
      <Button small onClick={askToUnlock}>
        {action}
      </Button>
    </div>
  );
}

/** `onServer`: whether the server opened what is open; `undefined`: nothing is. */
function reasonOf(what: string, onServer: boolean | undefined): string {
  if (onServer === undefined) return `${what} can only be opened with the organisation's key.`;
  return onServer ? `${what} are not among what the server opened.` : `${what} need another key than those that are unlocked.`;
}
