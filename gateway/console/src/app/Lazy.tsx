/** A page that is loaded when somebody goes there; what cannot be loaded is said, and tried again on wish. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Loading, Trouble } from "../ui/parts";

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
  if (page.error) return <Trouble error={page.error} again={() => setTurn(turn + 1)} />;
  return page.View ? <page.View /> : <Loading />;
}
