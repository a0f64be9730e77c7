/**
 * A page that is loaded when somebody goes there; where its parts are missing, the console is loaded anew.
 * Never by itself while something is unlocked, since that would lock it, nor again and again: then it is said instead.
 */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Loading, Trouble } from "../ui/parts";
import { unlockFacts } from "../unlocking/current";

const MISSING = new Error("This page could not be loaded: the server is away, or has been updated since you opened the console.");

/** A part that is missing on a server that answers is one of an older console: only loading anew helps. */
const reachable = () => fetch(location.href, { cache: "no-store" }).then((response) => response.ok, () => false);

const RENEWED = "console-renewed-ms";
const RENEW_AFTER_MS = 60_000;

/** Whether loading anew may help and costs nobody anything. */
async function mayRenew(): Promise<boolean> {
  const lately = Date.now() - Number(sessionStorage.getItem(RENEWED) ?? 0) < RENEW_AFTER_MS;
  return !unlockFacts.peek() && !lately && (await reachable());
}

function renew(): void {
  sessionStorage.setItem(RENEWED, String(Date.now()));
  location.reload();
}

export function Lazy(props: { load: () => Promise<{ default: ComponentType }> }) {
  const [page, setPage] = useState<{ View?: ComponentType; error?: unknown }>({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let gone = false;
    setPage({});
    props.load().then(
      (module) => !gone && setPage({ View: module.default }),
      async (error: unknown) => {
        const renewing = await mayRenew();
        if (!gone) renewing ? renew() : setPage({ error });
      },
    );
    return () => {
      gone = true;
    };
  }, [turn]);
  const again = () => void reachable().then((yes) => (yes ? location.reload() : setTurn(turn + 1)));
  if (page.error) return <Trouble error={MISSING} again={again} />;
  return page.View ? <page.View /> : <Loading />;
}
