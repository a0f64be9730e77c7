/** The end of a KEK: retiring and revoking, with what each takes away. Never by one click alone where something is lost. */

import { useState } from "preact/hooks";
import { ApiError, postJson } from "../../api/client";
import { Button, Dialog, Notice, Trouble, toast } from "../../ui/parts";
import type { Done, Kek } from "./answers";
import { ReasonField } from "./Rotation";

export function RetireButton(props: { kek: Kek; changed: () => void }) {
  const { kek, changed } = props;
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  const retire = async (giveUp: boolean) => {
    setBusy(true);
    setError(undefined);
    try {
      const done = await postJson<Done>(`/keys/kek/${encodeURIComponent(kek.name)}/retire`, { give_up: giveUp });
      setAsking(false);
      toast(`${done.says} ${done.next}`);
      changed();
    } catch (problem) {
      if (problem instanceof ApiError && problem.word === "still_needed") setAsking(true);
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button disabled={busy} onClick={() => void retire(false)}>
        {busy ? "Counting what it protects" : `Retire ${kek.name}`}
      </Button>
      {error !== undefined && !asking && <Trouble error={error} />}
      {asking && (
        <Dialog title={`${kek.name} is still needed`} close={() => setAsking(false)}>
          <p>{error instanceof Error ? error.message : ""}</p>
          <div class="actions">
            <Button onClick={() => setAsking(false)}>Keep it</Button>
            <Button kind="danger" disabled={busy} onClick={() => void retire(true)}>
              Give those epochs up and retire it
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}

export function RevokeDialog(props: { kek: Kek; alone: number | undefined; close: () => void; changed: () => void }) {
  const { kek, alone } = props;
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const revoke = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const done = await postJson<Done>(`/keys/kek/${encodeURIComponent(kek.name)}/revoke`, { reason });
      toast(`${done.says} ${done.next}`);
      props.changed();
      props.close();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Revoke ${kek.name}?`} close={props.close}>
      <form onSubmit={(event) => void revoke(event)} class="stack">
        <Notice tone="bad">
          <p>For a key in wrong hands. At once nothing is sealed to it and nothing opens with it. There is no way back.</p>
          <p>
            {alone === undefined
              ? "What it protects has not been counted yet."
              : alone
                ? `${alone} epochs in this node's archive open with no other key in use: nobody reads them again.`
                : "Nothing in this node's archive opens with it alone."}
          </p>
        </Notice>
        <ReasonField value={reason} change={setReason} required />
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Keep it</Button>
          <Button kind="danger" type="submit" disabled={busy || reason.trim().length < 3}>
            Revoke {kek.name}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
