/** The chosen result in full: the screen with the words boxed, or the text round them. Never kept when another is chosen. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Link } from "../../app/router";
import { Badge, Loading, Time, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { Wanted } from "../../blindsearch/wanted";
import { plainOf, type Pieces } from "../../blindsearch/pieces";
import { kindName, playerLink, type Result } from "./answer";
import { loadDocument } from "./documents";
import { FramePicture } from "./FramePicture";
import { Marked } from "./Marked";
import { SealedPicture } from "./SealedPicture";
import { leaveFor } from "./usePlain";

const PICTURE_PIXELS = 960;
/** Of a long text so much is shown round the first words found. */
const SHOWN_CHARACTERS = 6000;

export function Preview(props: { result: Result; words: string; fuzzy: boolean; linkWords: string }) {
  const { result } = props;
  const [at, setAt] = useState<{ key: string; ms: number } | undefined>(undefined);
  const atMs = at?.key === result.key ? at.ms : undefined;
  return (
    <aside class="preview" aria-label="The chosen result">
      <header>
        <div class="line">
          <Badge tone={result.source === "open" ? undefined : "sealed"}>{kindName(result)}</Badge>
          <strong>
            <bdi>{result.person}</bdi>
          </strong>
          <Time ms={atMs ?? result.frameAtMs ?? result.timeMs} />
        </div>
        <span onClickCapture={() => leaveFor(result.key)}>
          <Link class="button primary" href={playerLink(result, props.linkWords, atMs)}>
            Open in the player
          </Link>
        </span>
      </header>
      {result.document ? <FromServer key={result.key} {...props} told={(ms) => setAt({ key: result.key, ms })} /> : <Opened key={result.key} {...props} />}
    </aside>
  );
}

function FromServer(props: { result: Result; words: string; fuzzy: boolean; told: (atMs: number) => void }) {
  const { result, words, fuzzy } = props;
  const { data, error, again } = useLoad(() => loadDocument(result.document!, words, fuzzy), [result.key, words, fuzzy]);
  return (
    <>
      {result.frameAtMs !== undefined && (
        <FramePicture result={result} words={words} fuzzy={fuzzy} width={PICTURE_PIXELS} told={props.told} />
      )}
      {error !== undefined && <Trouble error={error} again={again} />}
      {data ? <WholeText people={result.people} title={data.title} text={data.text} /> : !error && <Loading />}
    </>
  );
}

function Opened(props: { result: Result; words: string }) {
  const { result } = props;
  const text = result.text!;
  const wanted = wantedIn(props.words);
  return (
    <div data-opened="text">
      {result.source === "sealed" && result.frameAtMs !== undefined && (
        <SealedPicture
          agentId={result.agentId}
          display={result.display}
          atMs={result.frameAtMs}
          boxes={result.boxes}
          person={result.person}
        />
      )}
      <WholeText people={result.people} title={result.title} text={wanted?.mark(text.text) ?? [{ text: text.text, hit: false }]} />
    </div>
  );
}

function WholeText(props: { people: string; title: Pieces; text: Pieces }) {
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    const [first, pre] = [box.current?.querySelector("mark"), box.current];
    if (first && pre) pre.scrollTop = first.offsetTop - 60;
  }, [props.text]);
  return (
    <>
      {plainOf(props.title).trim() && (
        <h2>
          <Marked pieces={props.title} />
        </h2>
      )}
      {props.people && <p class="quiet">{props.people}</p>}
      <pre class="whole" ref={box} tabIndex={0} aria-label="Text">
        <Marked pieces={shorten(props.text)} />
      </pre>
    </>
  );
}

/** The pieces round the first hit, as far as they are shown. */
export function shorten(pieces: Pieces, most = SHOWN_CHARACTERS): Pieces {
  const total = pieces.reduce((sum, piece) => sum + piece.text.length, 0);
  if (total <= most) return pieces;
  const first = pieces.findIndex((piece) => piece.hit);
  const before = pieces.slice(0, Math.max(0, first)).reduce((sum, piece) => sum + piece.text.length, 0);
  const from = Math.max(0, Math.min(before - most / 4, total - most));
  const kept: { text: string; hit: boolean }[] = from ? [{ text: "… ", hit: false }] : [];
  let at = 0;
  for (const { text, hit } of pieces) {
    const part = text.slice(Math.max(0, from - at), Math.max(0, from + most - at));
    if (part) kept.push({ text: part, hit });
    at += text.length;
  }
  return from + most < total ? [...kept, { text: " …", hit: false }] : kept;
}

function wantedIn(words: string): Wanted | undefined {
  try {
    return new Wanted(words);
  } catch {
    return undefined;
  }
}
