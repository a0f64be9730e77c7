/**
 * The steps of an unlock on the server while its dialog is there: begin and open, open more, release.
 * Never lets one go on that the dialog or the page has left.
 */

import { useMemo, useState } from "preact/hooks";
import { navigate, path, query } from "../app/router";
import { toast } from "../ui/parts";
import type { Bytes } from "../unlock/bytes";
import { unlockWanted } from "./current";
import { openOnServer, type Opened, type ServerUnlock, type ServerWish } from "./onServer";
import { useLeaving } from "./useLeaving";

export interface Steps {
  /** One that has keys that are closed; `undefined` before, and when it was lost. */
  readonly unlock: ServerUnlock | undefined;
  readonly busy: boolean;
  /** Why there is none. */
  readonly error: unknown;
  /** Begin one; wipes the passphrase. What it opened is released at once where nothing is closed. */
  begin(wish: ServerWish, passphrase: Bytes): Promise<void>;
  /** Go on with what is open. */
  release(): Promise<void>;
}

export function useServerUnlock(): Steps {
  const [unlock, setUnlock] = useState<ServerUnlock | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const signal = useSignalOfStay();
  const run = async (step: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await step();
    } catch (problem) {
      if (signal.aborted) return;
      setUnlock(undefined);
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  const begin = async (wish: ServerWish, passphrase: Bytes) => {
    const begun = await openOnServer(wish, passphrase, signal);
    if (begun.closed.length) setUnlock(begun);
    else await show(begun);
  };
  return { unlock, busy, error, begin: (...asked) => run(() => begin(...asked)), release: () => run(() => show(unlock!)) };
}

/** Whose recording is watched, and at which moment; `undefined` on other pages than the player. */
export function watched(): { person: string; at: number } | undefined {
  const person = query.peek().get("person");
  return path.peek() === "/player" && person ? { person, at: Number(query.peek().get("at")) } : undefined;
}

async function show(unlock: ServerUnlock): Promise<void> {
  tell(await unlock.release());
  unlockWanted.value = false;
  const { person } = unlock.wish;
  if (watched()?.person !== person) navigate(`/search?${new URLSearchParams({ person, where: "sealed" })}`);
}

function tell({ segments, texts }: Opened): void {
  if (!segments) toast("There is nothing sealed in this scope.", "warn");
  else toast(texts ? `${texts} texts were opened.` : "Opened: what there is has no text to search.", "good");
}

/** Aborted when the dialog is closed, or the page goes away. */
function useSignalOfStay(): AbortSignal {
  const aborter = useMemo(() => new AbortController(), []);
  useLeaving(() => aborter.abort());
  return aborter.signal;
}
