/** A page that is loaded when somebody goes there; what cannot be loaded is said, and tried again on wish. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Loading, Trouble } from "../ui/parts";

const MISSING = new Error("This page could not be loaded: the server is away, or has been updated since you opened the console.");

/** A part that is missing on a server that answers is one of an older console: only loading anew helps. */
const reachable = () => fetch(location.href, { cache: "no-store" }).then((response) => response.ok, () => false);

export function Lazy(props: { load: () => Promise<{ default: ComponentType }> }) {
  const [page, setPage] = useState<{ View?: ComponentType; error?: unknown }>({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let gone = false;
    setPage({});
    props.load().then(
      (module) => !gone && setPage({ View: module.default }),
      (error: unknown) => !gone && setPage({ error }),
    );
    return () => {
      gone = true;
    };
  }, [turn]);
  const again = () => void reachable().then((yes) => (yes ? location.reload() : setTurn(turn + 1)));
  if (page.error) return <Trouble error={MISSING} again={again} />;
  return page.View ? <page.View /> : <Loading />;
}
