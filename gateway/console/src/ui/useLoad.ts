/** Loading something for a view: what came, what went wrong, and again. Never shows an older answer after a newer one. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";

export interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  loading: boolean;
  again: () => void;
}

const AWAY_MS = 5000;

/** Calls `again` now and then, and when the network is back, while `error` says that the server was not reached. */
function useAgainWhenAway(error: unknown, again: () => void): void {
  const away = error instanceof ApiError && error.status === 0;
  useEffect(() => {
    if (!away) return;
    const look = () => document.visibilityState === "visible" && again();
    const timer = setInterval(look, AWAY_MS);
    addEventListener("online", look);
    return () => {
      clearInterval(timer);
      removeEventListener("online", look);
    };
  }, [away]);
}

/**
 * `load` is called when `keys` change, by `again()`, and anew while the server is away; what was under way then is
 * aborted. The data stays meanwhile.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, keys: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data: T | undefined; error: unknown; loading: boolean }>({
    data: undefined,
    error: undefined,
    loading: true,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const aborter = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    latest.current(aborter.signal).then(
      (data) => !aborter.signal.aborted && setState({ data, error: undefined, loading: false }),
      (error: unknown) => !aborter.signal.aborted && setState((before) => ({ ...before, error, loading: false })),
    );
    return () => aborter.abort();
  }, [...keys, turn]);
  const again = useCallback(() => setTurn((before) => before + 1), []);
  useAgainWhenAway(state.error, again);
  return { ...state, again };
}
