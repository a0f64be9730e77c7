/** What says that something is sealed end to end, and how to see it. */

import { Button } from "../../ui/parts";
import { askToUnlock, unlockFacts } from "../../unlocking/current";

export function SealedNotice({ what }: { what: string }) {
  const facts = unlockFacts.value;
  return (
    <div class="no-picture sealed">
      <p>
        <strong>Sealed end to end</strong>
      </p>
      <p>{reasonOf(what, facts?.onServer)}</p>
      <Button small onClick={askToUnlock}>
        {facts ? moreWord() : "Unlock to see"}
      </Button>
    </div>
  );
}

/** That some terminals of this time are not opened, beside those that are. */
export function SealedLine() {
  return (
    <p class="quiet">
      Other terminals of this time are sealed end to end.{" "}
      <button type="button" class="link" onClick={askToUnlock}>
        {unlockFacts.value ? moreWord() : "Unlock"}
      </button>
    </p>
  );
}

const moreWord = () => (unlockFacts.value?.onServer ? "Open more" : "Add a key");

/** `onServer`: whether the server opened what is open; `undefined`: nothing is. */
function reasonOf(what: string, onServer: boolean | undefined): string {
  if (onServer === undefined) return `${what} can only be opened with the organisation's key.`;
  return onServer ? `${what} are not among what the server opened.` : `${what} need another key than those that are unlocked.`;
}
