/** Whether the audit is whole: checked on wish, since it reads all of it. */

import { useSignal } from "@preact/signals";
import { getJson } from "../../api/client";
import { formatNumber } from "../../ui/format";
import { Badge, Button, Dialog, Time, toast } from "../../ui/parts";
import { Secret } from "../account/Tokens";

interface VerdictTold {
  checked_at_ms: number;
  took_ms: number;
  sound: boolean;
  entries: number;
  not_stored_yet: number;
  head: string;
  damage: string[];
}

export function Verdict() {
  const told = useSignal<VerdictTold | undefined>(undefined);
  const busy = useSignal(false);
  const open = useSignal(false);
  const check = async (anew: boolean) => {
    busy.value = true;
    try {
      told.value = await getJson<VerdictTold>("/audit/verify", { anew });
      open.value = true;
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    } finally {
      busy.value = false;
    }
  };
  return (
    <>
      {told.value && <Badge tone={told.value.sound ? "good" : "bad"}>{told.value.sound ? "whole" : "tampered with"}</Badge>}
      <Button disabled={busy.value} onClick={() => void check(told.value !== undefined)}>
        {busy.value ? "Checking" : "Check that it is whole"}
      </Button>
      {open.value && told.value && <Report told={told.value} close={() => (open.value = false)} />}
    </>
  );
}

function Report({ told, close }: { told: VerdictTold; close: () => void }) {
  return (
    <Dialog title={told.sound ? "The audit is whole" : "The audit was tampered with"} close={close}>
      <p>
        {formatNumber(told.entries)} entries were checked against their chain of hashes, the table and Kafka's topic, <Time ms={told.checked_at_ms} age />
        . {told.not_stored_yet > 0 && `${told.not_stored_yet} are about to be stored.`}
      </p>
      {told.damage.length > 0 && (
        <ul>
          {told.damage.map((one) => (
            <li key={one}>{one}</li>
          ))}
        </ul>
      )}
      <p class="quiet">Keep this checkpoint where nobody who can write the database gets at it: a later check against it finds a rewritten chain.</p>
      <Secret text={told.head} label="Checkpoint" />
    </Dialog>
  );
}
