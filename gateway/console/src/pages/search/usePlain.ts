/** The search of what the server reads, as one types. Never shows an older answer after a newer one. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { getJson, signedOut, type Query } from "../../api/client";
import type { Answer, Facets, Hit } from "./answer";
import { isAsking, orderOf, rangeOf, type Asked } from "./asked";

export const PAGE = 20;

export interface Plain {
  readonly hits: readonly Hit[];
  readonly answer: Answer | undefined;
  readonly facets: Facets | undefined;
  /** From the question to the answer, in milliseconds. */
  readonly roundMs: number;
  readonly loading: boolean;
  readonly error: unknown;
  /** The next page, of so many, where there is one. */
  readonly more: ((limit: number) => void) | undefined;
  readonly again: () => void;
}

interface State {
  hits: readonly Hit[];
  answer: Answer | undefined;
  facets: Facets | undefined;
  roundMs: number;
  loading: boolean;
  error: unknown;
}

const NOTHING: State = { hits: [], answer: undefined, facets: undefined, roundMs: 0, loading: false, error: undefined };

/** The answer that was shown last, for who comes back from a recording to where they were. */
let last: { name: string; state: State; atMs: number; key: string } | undefined;
const COME_BACK_MS = 300_000;
effect(() => {
  if (signedOut.value) last = undefined;
});

/** Remember that the result `key` was gone to. */
export function leaveFor(key: string): void {
  if (last) last = { ...last, key, atMs: Date.now() };
}

/** The result that was gone to from this very search a short while ago. */
export function comeBack(asked: Asked): string | undefined {
  return last?.key && last.name === nameOf(asked) && Date.now() - last.atMs < COME_BACK_MS ? last.key : undefined;
}

const nameOf = (asked: Asked) => (asked.where === "all" && isAsking(asked) ? JSON.stringify(asked) : "");

/** The answer to `asked`; nothing is asked where only sealed texts are searched. */
export function usePlain(asked: Asked, back = false): Plain {
  const [state, setState] = useState<State>(() => (back ? last!.state : NOTHING));
  const had = useRef(back);
  const [turn, setTurn] = useState(0);
  const aborter = useRef<AbortController>(undefined);
  const name = nameOf(asked);
  useEffect(() => {
    if (name && state.answer && !state.loading && !had.current) last = { name, state, atMs: Date.now(), key: "" };
  }, [state]);
  useEffect(() => {
    if (!name) {
      setState(NOTHING);
      return;
    }
    const { signal } = (aborter.current = new AbortController());
    if (had.current) {
      had.current = false;
      return;
    }
    const began = performance.now();
    setState((before) => ({ ...before, loading: true }));
    getJson<Answer>("/search", requestOf(asked), signal).then(
      (answer) => {
        if (signal.aborted) return;
        const [hits, facets] = [answer.hits, answer.facets ?? undefined];
        setState({ hits, answer, facets, roundMs: performance.now() - began, loading: false, error: undefined });
      },
      (error: unknown) => !signal.aborted && setState({ ...NOTHING, error }),
    );
    return () => aborter.current?.abort();
  }, [name, turn]);
  const again = useCallback(() => setTurn((before) => before + 1), []);
  const after = state.answer?.after;
  const more = (limit: number) => {
    const signal = aborter.current!.signal;
    setState((before) => ({ ...before, loading: true }));
    getJson<Answer>("/search", { ...requestOf(asked), facets: "false", after, limit }, signal).then(
      (answer) =>
        !signal.aborted &&
        setState((before) => ({
          ...before,
          hits: [...before.hits, ...answer.hits],
          answer: { ...before.answer!, after: answer.after },
          loading: false,
        })),
      (error: unknown) => !signal.aborted && setState((before) => ({ ...before, error, loading: false })),
    );
  };
  return { ...state, more: after && !state.loading ? more : undefined, again };
}

function requestOf(asked: Asked): Query {
  const { q, person, team, endpoint, stream, application, fuzzy } = asked;
  const names = { person, team, endpoint, stream, application };
  return { q, ...names, ...rangeOf(asked, Date.now()), fuzzy, order: orderOf(asked), limit: PAGE };
}
