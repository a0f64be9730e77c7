/** What says on every page that sealed data is open, why and how long, and locks it. Never shows a key. */

import "./unlocking.css";
import { formatDuration } from "../ui/format";
import { useEffect } from "preact/hooks";
import { Lazy } from "../app/Lazy";
import { path } from "../app/router";
import { Button, Dialog } from "../ui/parts";
import { askToUnlock, unlockFacts, unlockWanted, type UnlockFacts } from "./current";
import { endedBy, leftMs, lock, WARNING_MS, type EndReason } from "./locking";
import { forgetSealed } from "./needed";

const ENDED: Record<EndReason, string> = {
  locked: "Locked. Keys and what was opened are gone from this page.",
  time_out: "The time is over. Keys and what was opened are gone from this page.",
  signed_out: "",
  closed: "",
  refused: "Locked: for the server this unlock was over. Keys and what was opened are gone from this page.",
};

export function UnlockBar() {
  const facts = unlockFacts.value;
  useEffect(forgetSealed, [path.value]);
  const told = endedBy.value && ENDED[endedBy.value];
  return (
    <>
      {facts ? <Open facts={facts} /> : told && <Ended text={told} />}
      {unlockWanted.value && (
        <Dialog title={facts && !facts.onServer ? "Add keys" : "Unlock sealed recordings"} close={() => (unlockWanted.value = false)}>
          <Lazy load={() => import("./UnlockDialog")} />
        </Dialog>
      )}
    </>
  );
}

function Open({ facts }: { facts: UnlockFacts }) {
  const soon = leftMs.value <= WARNING_MS;
  return (
    <section class={`unlock-bar ${soon ? "soon" : ""}`} aria-label="Sealed recordings are open">
      <strong>{titleOf(facts)}</strong>
      <span class="purpose" title={facts.purpose}>
        {facts.purpose}
      </span>
      <span class="left" role="timer">
        {soon ? "locks in " : ""}
        {formatDuration(Math.ceil(leftMs.value / 1000) * 1000)}
        {soon ? "" : " left"}
      </span>
      <span class="visually-hidden" role="status">
        {soon ? "Sealed recordings are locked in a minute" : "Sealed recordings are unlocked"}
      </span>
      {!facts.onServer && (
        <Button small onClick={askToUnlock}>
          Add a key
        </Button>
      )}
      <Button small aria-keyshortcuts="Control+Shift+L" title="Ctrl+Shift+L" onClick={() => void lock("locked")}>
        Lock now
      </Button>
    </section>
  );
}

function titleOf({ onServer, keyIds }: UnlockFacts): string {
  const how = onServer ? "Opened on the server" : "Unlocked";
  return keyIds.length > 1 ? `${how} with ${keyIds.length} keys` : how;
}

function Ended(props: { text: string }) {
  return (
    <section class="unlock-bar ended" role="status">
      <span class="purpose">{props.text}</span>
      <Button small onClick={() => (unlockWanted.value = true)}>
        Unlock again
      </Button>
      <Button small kind="plain" aria-label="Close this notice" onClick={() => (endedBy.value = undefined)}>
        ✕
      </Button>
    </section>
  );
}
