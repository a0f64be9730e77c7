/**
 * Searching: words, filters, results as one types, and what is sealed once it is unlocked.
 * Never puts the words of a search among sealed texts alone into an address or a request.
 */

import "./search.css";
import "./groups.css";
import { effect, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { isTyping } from "../../app/Shell";
import { query, setQuery } from "../../app/router";
import { formatNumber } from "../../ui/format";
import { Button, Empty, Loading, PageHead, Trouble } from "../../ui/parts";
import { unlockFacts } from "../../unlocking/current";
import { useLock } from "../../unlocking/useLock";
import { resultOfHit, type Result } from "./answer";
import { askedOf, isAsking, isFiltered, queryOf, type Asked } from "./asked";
import { Days } from "./Days";
import { Filters, NO_FILTERS } from "./Filters";
import { grouped, type Group } from "./groups";
import { Preview } from "./Preview";
import { ResultCard } from "./ResultCard";
import { keptOf, SavedSearches, SaveSearch } from "./Saved";
import { SealedHint, SealedState, ServerState } from "./SealedPart";
import { Help, Start } from "./Start";
import { comeBack, PAGE, usePlain, type Plain } from "./usePlain";
import { useSealed, useServerTexts } from "./useSealed";

const PAUSE_MS = 150;
/** Where similar screens are one result, so many are asked for at once. */
const LARGE_PAGE = 100;

/** Words that stay in this page. Gone when it is locked. */
const privateWords = signal("");
effect(() => {
  if (!unlockFacts.value) privateWords.value = "";
});

export default function Search() {
  const asked = currentAsked();
  const back = useState(() => comeBack(asked))[0];
  const plain = usePlain(asked, Boolean(back));
  const sealed = useSealed(asked);
  const opened = useServerTexts(asked);
  const results = useMemo(
    () => [...opened, ...(sealed?.results ?? []), ...plain.hits.map(resultOfHit)],
    [opened, sealed?.results, plain.hits],
  );
  const kept = keptOf(query.value);
  useEffect(() => {
    if (!unlockFacts.value && asked.where === "sealed") setQuery({ where: "" });
  }, [unlockFacts.value, asked.where]);
  return (
    <>
      <PageHead title="Search">
        <SavedActions kept={kept} words={asked.where === "all" ? asked.q : ""} asking={isAsking(asked)} />
      </PageHead>
      <SearchField asked={asked} focused={!back} />
      <Filters asked={asked} facets={plain.facets} change={(change) => changeAsked(asked, change)} />
      {sealed && <SealedState asked={asked} sealed={sealed} change={(change) => changeAsked(asked, change)} />}
      <ServerState asked={asked} change={(change) => changeAsked(asked, change)} />
      {isAsking(asked) || results.length ? (
        <Found asked={asked} plain={plain} results={results} searching={Boolean(sealed?.running)} back={back} />
      ) : (
        asked.where === "all" && <Start />
      )}
    </>
  );
}

function currentAsked(): Asked {
  const asked = askedOf(query.value);
  return asked.where === "sealed" ? { ...asked, q: privateWords.value } : asked;
}

function changeAsked(asked: Asked, change: Partial<Asked>): void {
  const next = { ...asked, ...change };
  privateWords.value = next.where === "sealed" ? next.q : "";
  setQuery(queryOf(next));
}

function SearchField(props: { asked: Asked; focused: boolean }) {
  const { asked } = props;
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const typed = useRef(asked.q);
  const [helping, setHelping] = useState(false);
  useEffect(() => {
    if (props.focused && matchMedia("(min-width: 761px)").matches) field.current!.focus();
    return () => clearTimeout(timer.current);
  }, []);
  useLayoutEffect(() => {
    // Somebody went to another search: an example, a saved one, back. Not later: it may be locked meanwhile.
    if (asked.q === typed.current) return;
    typed.current = asked.q;
    field.current!.value = asked.q;
  }, [asked.q]);
  const clear = () => {
    clearTimeout(timer.current);
    typed.current = field.current!.value = "";
  };
  useLock(() => {
    if (askedOf(query.peek()).where === "sealed") clear();
  });
  const ask = (where = asked.where) => {
    clearTimeout(timer.current);
    if (where === "sealed" && !unlockFacts.peek()) return clear(); // was to stay in this page: it was locked meanwhile
    typed.current = field.current!.value;
    const latest = currentAsked();
    if (typed.current !== latest.q) changeAsked(latest, { q: typed.current });
  };
  const input = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(ask, PAUSE_MS, asked.where);
  };
  return (
    <form role="search" class="search-field" onSubmit={(event) => (event.preventDefault(), ask())}>
      <input
        ref={field}
        type="search"
        aria-label="Words to search for"
        placeholder={asked.where === "sealed" ? "Words in sealed texts" : "Words, \"a phrase\", begin*"}
        defaultValue={asked.q}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        onInput={input}
      />
      <label class="fuzzy" title="Also what is spelled, or was read from a screen, a little differently">
        <input type="checkbox" checked={asked.fuzzy} onChange={(event) => changeAsked(asked, { fuzzy: event.currentTarget.checked })} />
        Similar words
      </label>
      <Button small kind="plain" aria-expanded={helping} onClick={() => setHelping(!helping)}>
        How to search
      </Button>
      {helping && <Help />}
    </form>
  );
}

function SavedActions(props: { kept: ReturnType<typeof keptOf>; words: string; asking: boolean }) {
  const [shown, setShown] = useState<"" | "list" | "save">("");
  const close = () => setShown("");
  return (
    <>
      <Button small onClick={() => setShown("list")}>
        Saved searches
      </Button>
      {props.asking && (
        <Button small onClick={() => setShown("save")}>
          Save
        </Button>
      )}
      {shown === "list" && <SavedSearches close={close} />}
      {shown === "save" && <SaveSearch query={props.kept} suggestion={props.words} close={close} />}
    </>
  );
}

type Back = ReturnType<typeof comeBack>;

function Found(props: { asked: Asked; plain: Plain; results: readonly Result[]; searching: boolean; back: Back }) {
  const { asked, plain, results, back } = props;
  const [chosenKey, choose] = useState(back ?? "");
  const groups = useMemo(() => grouped(results), [results]);
  const opened = useOpened(back);
  const list = useRef<HTMLOListElement>(null);
  useLayoutEffect(() => {
    if (!back) return;
    const link = list.current!.querySelector<HTMLElement>(`[data-key="${CSS.escape(back)}"] a`);
    link?.focus({ preventScroll: true });
    link?.scrollIntoView({ block: "center" });
  }, []);
  const wide = useWide();
  const chosen = results.find((one) => one.key === chosenKey) ?? results[0];
  const linkWords = asked.where === "sealed" ? "" : asked.q;
  useMoving();
  return (
    <>
      <p class={`summary quiet ${asked.where}`} role="status">
        {summaryOf(asked, plain)}
        {groups.length < results.length && `; ${plain.answer?.after ? "the first " : ""}${formatNumber(results.length)} shown as ${formatNumber(groups.length)}, similar screens together`}
      </p>
      <SealedHint count={unlockFacts.value ? 0 : (plain.answer?.end_to_end ?? 0)} />
      {plain.error !== undefined && <Trouble error={plain.error} again={plain.again} />}
      {plain.facets && <Days days={plain.facets.days} change={(change) => changeAsked(asked, change)} />}
      <div class={`found ${wide && chosen ? "with-preview" : ""} ${plain.loading ? "stale" : ""}`}>
        <ol ref={list} class="results" aria-label="Results">
          {groups.map((group) => (
            <ResultCard
              key={group.result.key}
              group={group}
              opened={opened.has(group)}
              open={(yes) => opened.open(group, yes)}
              words={linkWords}
              fuzzy={asked.fuzzy}
              chosen={wide ? chosen?.key : undefined}
              alone={!wide}
              choose={choose}
            />
          ))}
          {plain.more && <More {...pagingOf(groups.length, results.length)} load={plain.more} />}
          {plain.loading && results.length > 0 && <li class="quiet" aria-hidden="true">…</li>}
        </ol>
        {wide && chosen && <Preview result={chosen} words={asked.q} fuzzy={asked.fuzzy} linkWords={linkWords} />}
      </div>
      {!results.length && <NothingYet asked={asked} plain={plain} searching={props.searching} />}
    </>
  );
}

/** Which groups are opened. The one that holds `back` is, when that is not the one that is shown of it. */
function useOpened(back: Back): { has: (group: Group) => boolean; open: (group: Group, yes: boolean) => void } {
  const [keys, setKeys] = useState<ReadonlySet<string>>(() => new Set());
  const [held, setHeld] = useState(back);
  return {
    has: ({ result, others }) => keys.has(result.key) || others.some((one) => one.key === held || keys.has(one.key)),
    open: ({ result, others }, yes) => {
      const without = new Set(keys);
      for (const one of [result, ...others]) without.delete(one.key);
      setKeys(yes ? without.add(result.key) : without);
      setHeld(undefined);
    },
  };
}

/** How many to ask for next; by itself only while that shows something new now and then. */
function pagingOf(groups: number, results: number): { limit: number; auto: boolean } {
  return { limit: results > 2 * groups ? LARGE_PAGE : PAGE, auto: results < LARGE_PAGE * (groups + 1) };
}

function NothingYet(props: { asked: Asked; plain: Plain; searching: boolean }) {
  const { asked, plain } = props;
  if (plain.error !== undefined) return null;
  if (plain.loading || props.searching) return <Loading what="Searching" />;
  if (!plain.answer && asked.where === "all") return null;
  const mayBeSimilar = !asked.fuzzy && asked.where === "all" && Boolean(asked.q.trim());
  return (
    <Empty title="Nothing was found">
      <p>
        {isFiltered(asked) ? "Fewer filters, or another time, may show more. " : ""}
        {mayBeSimilar ? "“Similar words” also finds what is spelled or was read a little differently." : ""}
      </p>
      <div class="actions">
        {mayBeSimilar && <Button onClick={() => changeAsked(asked, { fuzzy: true })}>Search similar words</Button>}
        {isFiltered(asked) && <Button onClick={() => changeAsked(asked, NO_FILTERS)}>Search without filters</Button>}
      </div>
    </Empty>
  );
}

function summaryOf(asked: Asked, { answer, roundMs, loading }: Plain): string {
  if (asked.where === "sealed") return "";
  if (!answer) return loading ? "Searching" : "";
  const count = `${answer.at_least ? "over " : ""}${formatNumber(answer.total)} ${answer.total === 1 ? "result" : "results"}`;
  return `${count} in ${formatNumber(answer.took_ms)} ms, ${formatNumber(Math.round(roundMs))} ms to here`;
}

/** The next page, when its button comes into sight or is pressed. */
function More(props: { limit: number; auto: boolean; load: (limit: number) => void }) {
  const place = useRef<HTMLLIElement>(null);
  const load = useRef(() => {});
  load.current = () => props.load(props.limit);
  useEffect(() => {
    if (!props.auto) return;
    const observer = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && load.current());
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <li ref={place} class="more">
      <Button small onClick={() => load.current()}>
        More
      </Button>
    </li>
  );
}

/** Arrow keys, and j and k, move among the results. */
function useMoving(): void {
  useEffect(() => {
    const move = (event: KeyboardEvent) => {
      const field = (event.target as HTMLElement).matches("input[type=search]");
      const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      const inField = field && event.key === "ArrowDown" && !event.ctrlKey && !event.altKey && !event.metaKey;
      if (!step || (isTyping(event) && !inField) || document.querySelector("dialog[open]")) return;
      const links = [...document.querySelectorAll<HTMLAnchorElement>(".results a.main-link")];
      const at = links.indexOf(document.activeElement as HTMLAnchorElement);
      if (at === 0 && step < 0) {
        event.preventDefault();
        document.querySelector<HTMLInputElement>("input[type=search]")!.focus();
        return;
      }
      const next = links[at < 0 ? 0 : at + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
      next.closest("li")!.scrollIntoView({ block: "nearest" });
    };
    addEventListener("keydown", move);
    return () => removeEventListener("keydown", move);
  }, []);
}

/** Whether there is room for the chosen result beside the list. */
function useWide(): boolean {
  const [wide, setWide] = useState(() => matchMedia("(min-width: 1100px)").matches);
  useEffect(() => {
    const media = matchMedia("(min-width: 1100px)");
    const follow = () => setWide(media.matches);
    media.addEventListener("change", follow);
    return () => media.removeEventListener("change", follow);
  }, []);
  return wide;
}
