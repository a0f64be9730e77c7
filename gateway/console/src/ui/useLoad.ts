/** Loading something for a view: what came, what went wrong, and again. Never shows an older answer after a newer one. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  loading: boolean;
  again: () => void;
}

/** `load` is called when `keys` change, and by `again()`; what was under way then is aborted. The data stays meanwhile. */
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
  return { ...state, again };
}
