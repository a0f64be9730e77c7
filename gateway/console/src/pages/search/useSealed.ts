/** The search of what is sealed, while it is unlocked in this page. Never keeps what was opened after the lock. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { BlindSearch, newEffort, type Effort, type SealedHit } from "../../blindsearch/search";
import { isNamed } from "../../blindsearch/names";
import { consoleServer } from "../../blindsearch/server";
import type { DatedText } from "../../blindsearch/texts";
import { QuestionError, Wanted } from "../../blindsearch/wanted";
import { LockedError } from "../../unlock/errors";
import { serverTexts, unlockPurpose, unlockSession } from "../../unlocking/current";
import { useLock } from "../../unlocking/useLock";
import { resultOfSealed, resultOfServerText, type Result } from "./answer";
import { orderOf, rangeOf, scopeOf, type Asked } from "./asked";

/** The page opens what it finds: it waits until a person has stopped typing. */
const PAUSE_MS = 400;
const MOST_HITS = 200;

export interface Sealed {
  readonly results: readonly Result[];
  readonly effort: Readonly<Effort>;
  readonly running: boolean;
  readonly error: unknown;
  /** Stop it; what was found stays. */
  readonly cancel: () => void;
}

interface State {
  name: string;
  hits: readonly SealedHit[];
  effort: Readonly<Effort>;
  running: boolean;
  error: unknown;
}

const NO_HITS: readonly SealedHit[] = [];
const beginning = (name: string): State => ({ name, hits: NO_HITS, effort: newEffort(), running: name !== "", error: undefined });

/** What was found by the blind index; `undefined` while nothing is unlocked in this page. */
export function useSealed(asked: Asked): Sealed | undefined {
  const session = unlockSession.value;
  const [state, setState] = useState<State>(beginning(""));
  const aborter = useRef<AbortController>(undefined);
  const search = useMemo(() => session && new BlindSearch(session, consoleServer(unlockPurpose.peek())), [session]);
  const name = session && asked.q.trim() && !asked.fuzzy ? JSON.stringify(asked) : "";
  useEffect(() => {
    setState(beginning(name));
    if (!search || !name) return;
    const { signal } = (aborter.current = new AbortController());
    const show = (change: Partial<State>) => !signal.aborted && setState((before) => ({ ...before, ...change }));
    const order = orderOf(asked) === "oldest" ? "oldest" : "newest";
    const question = { text: asked.q, scope: scopeOf(asked, Date.now()), order, limit: MOST_HITS } as const;
    const run = async () => {
      try {
        await search.search(question, signal, (effort, hits) => show({ effort, hits }));
        show({ running: false });
      } catch (error) {
        show({ running: false, error: error instanceof LockedError ? undefined : error });
      }
    };
    const timer = setTimeout(() => void run(), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      aborter.current?.abort("older"); // an error would keep the words with its stack
      aborter.current = undefined;
    };
  }, [search, name]);
  useLock(() => {
    aborter.current?.abort("locked");
    setState(beginning(""));
  });
  const shown = state.name === name ? state : beginning(name);
  const results = useMemo(() => resultsOf(shown.hits, asked), [shown.hits, name]);
  if (!session) return undefined;
  const cancel = () => {
    aborter.current?.abort("stopped");
    setState((before) => ({ ...before, running: false, effort: { ...before.effort, cut: true } }));
  };
  return { ...shown, results, cancel };
}

function resultsOf(hits: readonly SealedHit[], asked: Asked): Result[] {
  if (!hits.length) return [];
  const wanted = new Wanted(asked.q);
  const results = hits.map((hit) => resultOfSealed(hit, wanted));
  return results.filter((one) => isNamed(one.application, asked.application));
}

/** What the server opened for this page, as far as it is asked for. */
export function useServerTexts(asked: Asked): readonly Result[] {
  const texts = serverTexts.value;
  return useMemo(() => (texts.length ? resultsAmong(texts, asked) : []), [texts, JSON.stringify(asked)]);
}

function resultsAmong(texts: readonly DatedText[], asked: Asked): Result[] {
  const wanted = wantedOf(asked.q);
  const { since_ms = 0, until_ms = Infinity } = rangeOf(asked, Date.now());
  const found = texts.filter(
    (one) =>
      (!wanted || wanted.metBy([one.title, one.text, ...one.others])) &&
      isNamed(one.person, asked.person) && isNamed(one.computer, asked.endpoint) && isNamed(one.application, asked.application) &&
      (isNamed(one.stream, asked.stream) || isNamed(one.kind, asked.stream)) &&
      one.timeMs >= since_ms && one.timeMs < until_ms,
  );
  const sign = orderOf(asked) === "oldest" ? 1 : -1;
  return found.sort((one, other) => sign * (one.timeMs - other.timeMs)).map((one) => resultOfServerText(one, wanted));
}

function wantedOf(text: string): Wanted | undefined {
  try {
    return new Wanted(text);
  } catch (error) {
    if (error instanceof QuestionError) return undefined;
    throw error;
  }
}
