/** What says that something is sealed end to end, and how to see it. */

import { unlockSession, askToUnlock } from "../../unlocking/current";
import { Button } from "../../ui/parts";

export function SealedNotice({ what }: { what: string }) {
  const open = unlockSession.value !== undefined;
  return (
    <div class="no-picture sealed">
      <p>
        <strong>Sealed end to end</strong>
      </p>
      <p>{open ? `${what} need another key than those that are unlocked.` : `${what} can only be opened here, with the organisation's key.`}</p>
      <Button small onClick={askToUnlock}>
        {open ? "Add a key" : "Unlock to see"}
      </Button>
    </div>
  );
}
