/** One display: its canvas, the words that were looked for, and since when the picture stands. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { ReadDocument } from "../../player/answers";
import { lastShot, splitKey } from "../../player/tape";
import { formatClock, formatDuration } from "../../ui/format";
import { nameOf } from "./naming";
import type { Replay } from "./replay";
import { BOXED_MS } from "./useFinds";

/** A picture that stands longer is told as that: it may only be that nothing moved. */
const STANDS_MS = 30_000;

export function Display(props: { id: string; replay: Replay; exact: boolean; documents: readonly ReadDocument[] }) {
  const { id, replay } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => replay.screens.attach(id, canvas.current!), [id, replay]);
  const at = replay.coarse.value;
  void replay.version.value;
  const shots = replay.media.at(at)?.value.displays.get(id) ?? [];
  const shot = shots[lastShot(shots, replay.at.peek())];
  const size = shot?.frame ?? shots[0]?.frame;
  const ratio = size ? size.width / size.height : 16 / 9;
  const stands = shot ? at - shot.at : 0;
  const inside = props.exact && size ? { width: `${size.width}px` } : { width: `min(100cqw, 100cqh * ${ratio})` };
  return (
    <figure class={`display ${props.exact ? "exact" : ""}`}>
      <Pannable exact={props.exact} label={nameOf(id, replay)}>
        <div class="picture" hidden={!shot} style={{ ...inside, aspectRatio: String(ratio) }}>
          <canvas ref={canvas} role="img" aria-label={describe(id, replay, shot?.frame, at)} />
          {shot && size && <Boxes id={id} at={at} size={size} documents={props.documents} />}
        </div>
      </Pannable>
      {shot && (
        <figcaption>
          <span>{nameOf(id, replay)}</span>
          <span class="what">{[shot.frame.application, shot.frame.title].filter(Boolean).join(": ")}</span>
          {stands > STANDS_MS && <span>as of {formatClock(shot.at)}, {formatDuration(stands)} before</span>}
          {replay.screens.painter(id)?.damaged && <span>a frame is damaged: this picture may be incomplete</span>}
        </figcaption>
      )}
    </figure>
  );
}

function describe(id: string, replay: Replay, frame: { application: string; title: string } | undefined, at: number): string {
  const front = frame && [frame.application, frame.title].filter(Boolean).join(", ");
  return `${nameOf(id, replay)} at ${formatClock(at)}${front ? `, in front: ${front}` : ""}`;
}

/** Where the words stood that were looked for. */
function Boxes(props: { id: string; at: number; size: { width: number; height: number }; documents: readonly ReadDocument[] }) {
  const { agent, display } = splitKey(props.id);
  const { width, height } = props.size;
  const lines = props.documents
    .filter((document) => document.agent_id === agent)
    .flatMap((document) => document.lines)
    .filter((line) => line.hit && line.display === display && line.appeared_ms <= props.at + 300 && props.at < (line.went_ms ?? line.appeared_ms + BOXED_MS));
  return (
    <>
      {lines.map((line, number) => (
        <span
          key={number}
          class="box"
          style={{
            left: `${(100 * (line.x - 3)) / width}%`,
            top: `${(100 * (line.y - 3)) / height}%`,
            width: `${(100 * (line.width + 6)) / width}%`,
            height: `${(100 * (line.height + 6)) / height}%`,
          }}
        />
      ))}
    </>
  );
}

/** At 1:1 the picture is larger than its place: it can be scrolled by keys, and dragged. */
function Pannable(props: { exact: boolean; label: string; children: preact.ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [grip, setGrip] = useState<{ x: number; y: number } | undefined>(undefined);
  const move = (event: PointerEvent) => {
    if (!grip) return;
    box.current!.scrollBy(grip.x - event.clientX, grip.y - event.clientY);
    setGrip({ x: event.clientX, y: event.clientY });
  };
  if (!props.exact) {
    return (
      <div class="room" ref={box}>
        {props.children}
      </div>
    );
  }
  return (
    <div
      class="room pans"
      ref={box}
      role="region"
      aria-label={`${props.label}, pixel by pixel`}
      tabIndex={0}
      onPointerDown={(event) => {
        box.current!.setPointerCapture(event.pointerId);
        setGrip({ x: event.clientX, y: event.clientY });
      }}
      onPointerMove={move}
      onPointerUp={() => setGrip(undefined)}
      onPointerCancel={() => setGrip(undefined)}
    >
      {props.children}
    </div>
  );
}
