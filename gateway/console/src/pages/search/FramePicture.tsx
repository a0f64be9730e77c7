/** What stood on a display when the words did: loaded when it comes into sight. Never says nothing when there is none. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../../api/client";
import { formatTime } from "../../ui/format";
import { boxesOfLines, type Result } from "./answer";
import { Boxed } from "./Boxed";
import { loadDocument } from "./documents";
import { loadFrame, type Picture, type Wish } from "./frames";

interface Shown {
  picture?: Picture;
  told?: string;
}

export function FramePicture(props: {
  result: Result;
  words: string;
  fuzzy: boolean;
  width: number;
  /** Told when it is known at what moment the words stood there. */
  told?: (atMs: number) => void;
}) {
  const { result, words, fuzzy, width } = props;
  const place = useRef<HTMLDivElement>(null);
  const [shown, setShown] = useState<Shown>({});
  useEffect(() => {
    const aborter = new AbortController();
    let url = "";
    const load = async () => {
      try {
        const picture = await loadFrame(() => wishFor(result, words, fuzzy, width), aborter.signal);
        url = picture.url;
        if (aborter.signal.aborted) URL.revokeObjectURL(url);
        else setShown({ picture });
        props.told?.(picture.atMs);
      } catch (error) {
        if (!aborter.signal.aborted) setShown({ told: tellTrouble(error) });
      }
    };
    const observer = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        void load();
      },
      { rootMargin: "120px" },
    );
    setShown({});
    observer.observe(place.current!);
    return () => {
      observer.disconnect();
      aborter.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [result.key, words, fuzzy, width]);
  const { picture, told } = shown;
  return (
    <div ref={place} class={`frame ${picture ? "" : "blank"}`}>
      {picture ? (
        <Boxed size={picture.size} boxes={picture.boxes}>
          <img src={picture.url} alt={`The screen of ${result.person}, ${formatTime(picture.atMs)}`} />
        </Boxed>
      ) : (
        <span class="quiet">{told ?? ""}</span>
      )}
    </div>
  );
}

/** The moment when most of the words stand there, and where; the server's lines tell it. */
async function wishFor(result: Result, words: string, fuzzy: boolean, width: number): Promise<Wish> {
  const whole = await loadDocument(result.document!, words, fuzzy);
  const display = whole.display ?? result.display;
  const atMs = whole.frame_at_ms ?? result.frameAtMs!;
  return { agentId: result.agentId, display, atMs, width, boxes: boxesOfLines(whole.lines, display, atMs) };
}

function tellTrouble(error: unknown): string {
  if (!(error instanceof ApiError)) return "The picture cannot be shown";
  const told: Record<string, string> = { sealed: "Sealed end to end", nothing_found: "No picture of this moment" };
  return told[error.word] ?? "The picture cannot be had now";
}
