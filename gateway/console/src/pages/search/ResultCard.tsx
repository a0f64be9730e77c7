/** One result in the list: who, when, where, and the words in their place; screens like it below. Never holds more than one link itself. */

import { useState } from "preact/hooks";
import { Link } from "../../app/router";
import { formatMinute, formatTime } from "../../ui/format";
import { Badge, Button, Time } from "../../ui/parts";
import { kindName, playerLink, type Result } from "./answer";
import { FramePicture } from "./FramePicture";
import { moreWords, type Group } from "./groups";
import { Marked } from "./Marked";
import { SealedPicture } from "./SealedPicture";
import { leaveFor } from "./usePlain";

const THUMBNAIL_PIXELS = 320;
const SOURCES = { open: undefined, sealed: "Opened in this page", server: "Opened on the server" } as const;

export function ResultCard(props: {
  group: Group;
  opened: boolean;
  open: (yes: boolean) => void;
  words: string;
  fuzzy: boolean;
  /** The key of the result that is chosen. */
  chosen: string | undefined;
  choose: (key: string) => void;
  /** There is no room for a preview beside the list. */
  alone: boolean;
}) {
  const { result, others } = props.group;
  const thumbnail = result.source === "open" && result.frameAtMs !== undefined;
  const [atMs, setAtMs] = useState<number | undefined>(undefined);
  const title = result.title.some((piece) => piece.text.trim());
  const fold = (event: KeyboardEvent) => {
    const yes = event.key === "ArrowRight";
    if (!others.length || !(yes || event.key === "ArrowLeft") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (!yes) (event.currentTarget as HTMLElement).querySelector<HTMLElement>(".main-link")!.focus();
    props.open(yes);
  };
  return (
    <li
      class={`result ${props.chosen === result.key ? "chosen" : ""}`}
      data-key={result.key}
      onClickCapture={() => leaveFor(result.key)}
      onKeyDown={fold}
      data-opened={result.source === "open" ? undefined : "text"}
    >
      <div class="told">
        <div class="line">
          <Badge tone={result.source === "open" ? undefined : "sealed"} title={SOURCES[result.source]}>
            {result.source !== "open" && <Lock />}
            {kindName(result)}
          </Badge>
          <strong>
            <bdi>{result.person}</bdi>
          </strong>
          <span class="quiet">
            <Time ms={result.timeMs} />
          </span>
        </div>
        <Link class="main-link" href={playerLink(result, props.words, atMs)} onFocus={() => props.choose(result.key)}>
          {title ? <Marked pieces={result.title} /> : result.application || kindName(result)}
        </Link>
        {result.fragments.slice(0, 3).map((pieces, at) => (
          <p key={at} class="fragment">
            <Marked pieces={pieces} />
          </p>
        ))}
        <div class="line quiet small">
          {[result.application, result.computer, result.people].filter(Boolean).join(" · ")}
        </div>
      </div>
      {thumbnail && (
        <FramePicture result={result} words={props.words} fuzzy={props.fuzzy} width={THUMBNAIL_PIXELS} told={setAtMs} />
      )}
      {props.alone && result.source === "sealed" && result.frameAtMs !== undefined && <SealedThumbnail result={result} />}
      {others.length > 0 && <Moments {...props} />}
    </li>
  );
}

/** The similar ones: how many, and each with its moment once that is opened. */
function Moments(props: { group: Group; opened: boolean; open: (yes: boolean) => void; words: string; chosen: string | undefined; choose: (key: string) => void }) {
  const { group, opened } = props;
  const day = new Date(group.result.timeMs).toDateString();
  const tellTime = (ms: number) => (new Date(ms).toDateString() === day ? formatMinute(ms) : formatTime(ms));
  return (
    <div class="alike">
      <Button small kind="plain" aria-expanded={opened} onClick={() => props.open(!opened)}>
        {moreWords(group, tellTime)}
      </Button>
      {opened && (
        <ol aria-label="Similar screens">
          {group.others.map((one) => (
            <li key={one.key} data-key={one.key} class={props.chosen === one.key ? "chosen" : ""} onClickCapture={() => leaveFor(one.key)}>
              <Link class="main-link" href={playerLink(one, props.words)} onFocus={() => props.choose(one.key)}>
                <Time ms={one.timeMs} near={group.result.timeMs} />
              </Link>
              <span class="fragment">{one.fragments[0] && <Marked pieces={one.fragments[0]} />}</span>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

/** A sealed screen costs fetching and opening all that it is drawn from: only on wish. */
function SealedThumbnail(props: { result: Result }) {
  const { result } = props;
  const [shown, setShown] = useState(false);
  if (!shown) {
    return (
      <Button small class="show" onClick={() => setShown(true)}>
        Show the screen
      </Button>
    );
  }
  const { agentId, display, frameAtMs, boxes, person } = result;
  return <SealedPicture agentId={agentId} display={display} atMs={frameAtMs!} boxes={boxes} person={person} />;
}

export function Lock() {
  return (
    <svg class="lock" viewBox="0 0 16 16" width="11" height="11" role="img" aria-label="sealed end to end">
      <path d="M4 7V5a4 4 0 0 1 8 0v2h1v8H3V7zm2 0h4V5a2 2 0 0 0-4 0z" fill="currentColor" />
    </svg>
  );
}
