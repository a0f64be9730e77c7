/** The timeline: tracks to look at closer, a strip of the whole day, and a slider that goes to any moment. */

import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { theme } from "../../app/theme";
import type { Stretch } from "../../player/answers";
import { pan, toTime, toX, zoom, type View } from "../../player/layout";
import type { Marker } from "../../player/markers";
import { rankApplications, COLOURS, type Track } from "../../player/tracks";
import { formatClock } from "../../ui/format";
import { Button } from "../../ui/parts";
import { tellAt } from "./pointing";
import { Preview } from "./Preview";
import type { Replay } from "./replay";
import { drawOverview, drawTracks, heightOf, OVERVIEW, ROW, RULER, type Drawn } from "./timelineDrawing";
import { usePointing } from "./usePointing";

export interface TimelineProps {
  replay: Replay;
  tracks: readonly Track[];
  markers: readonly Marker[];
  colourOf: (application: string) => number;
  chosen: Stretch | undefined;
  view: Signal<View>;
  limits: View;
}

export function Timeline(props: TimelineProps) {
  const { replay, tracks, view, limits } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const overview = useRef<HTMLCanvasElement>(null);
  const field = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const shown = view.value;
  const pointing = usePointing(field, view, limits, (at) => replay.seek(at));
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(canvas.current?.clientWidth ?? 0));
    observer.observe(canvas.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const drawn: Drawn = { view: shown, tracks, markers: props.markers, colourOf: props.colourOf, chosen: props.chosen };
    drawTracks(canvas.current!, drawn);
    drawOverview(overview.current!, drawn, limits);
  }, [width, shown, tracks, props.markers, props.chosen, theme.value]);
  const hover = pointing.hover;
  return (
    <section class="timeline" aria-label="Timeline">
      <Overview canvas={overview} view={view} limits={limits} />
      <div class="tracks">
        <ul class="track-names" aria-hidden="true">
          {tracks.map((track) => (
            <li key={track.id}>{track.label}</li>
          ))}
        </ul>
        <div class="field" ref={field} style={{ height: `${heightOf(tracks)}px` }}>
          <canvas ref={canvas} class="drawn" aria-hidden="true" />
          <Playhead replay={replay} view={shown} width={width} />
          <Slider {...props} />
          {hover && width > 0 && (
            <Preview replay={replay} at={toTime(hover.x, shown, width)} x={hover.x} width={width} text={tellAt(props, toTime(hover.x, shown, width), Math.floor((hover.y - RULER) / ROW))} />
          )}
        </div>
      </div>
      <div class="timeline-foot">
        <Legend replay={replay} colourOf={props.colourOf} />
        <span class="space" />
        <Zoom view={view} limits={limits} replay={replay} />
      </div>
    </section>
  );
}

function Zoom({ view, limits, replay }: { view: Signal<View>; limits: View; replay: Replay }) {
  const by = (factor: number) => (view.value = zoom(view.value, factor, replay.at.peek(), limits));
  return (
    <span class="row middle zoom">
      <Button kind="plain" small aria-label="Look closer" onClick={() => by(2)}>
        +
      </Button>
      <Button kind="plain" small aria-label="From further away" onClick={() => by(0.5)}>
        −
      </Button>
      <Button kind="plain" small onClick={() => (view.value = limits)}>
        Whole day
      </Button>
    </span>
  );
}

/** Follows the clock by itself: the tracks are not drawn anew for it. */
function Playhead({ replay, view, width }: { replay: Replay; view: View; width: number }) {
  const line = useRef<HTMLDivElement>(null);
  useEffect(
    () =>
      replay.at.subscribe((at) => {
        const x = toX(at, view, width);
        line.current!.style.transform = `translateX(${x}px)`;
        line.current!.hidden = x < -1 || x > width + 1;
      }),
    [replay, view, width],
  );
  return <div class="playhead" ref={line} />;
}

function Slider(props: TimelineProps) {
  const { replay, limits } = props;
  const at = replay.coarse.value;
  const front = replay.timeline.activity.find((one) => one.from_ms <= at && at < one.until_ms);
  const said = [formatClock(at), front?.idle ? "idle" : front?.application, replay.playing.value ? "playing" : "paused"];
  return (
    <div
      class="slider"
      role="slider"
      tabIndex={0}
      aria-label="Moment"
      aria-valuemin={Math.floor(limits.from / 1000)}
      aria-valuemax={Math.floor(limits.until / 1000)}
      aria-valuenow={Math.floor(at / 1000)}
      aria-valuetext={said.filter(Boolean).join(", ")}
    />
  );
}

function Overview({ canvas, view, limits }: { canvas: { current: HTMLCanvasElement | null }; view: Signal<View>; limits: View }) {
  const move = (event: PointerEvent) => {
    if (!event.buttons) return;
    const at = toTime(event.offsetX, limits, canvas.current!.clientWidth);
    const { from, until } = view.value;
    view.value = pan(view.value, at - (from + until) / 2, limits);
  };
  return (
    <canvas
      ref={canvas}
      class="overview"
      style={{ height: `${OVERVIEW}px` }}
      aria-hidden="true"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        move(event);
      }}
      onPointerMove={move}
    />
  );
}

function Legend({ replay, colourOf }: { replay: Replay; colourOf: (application: string) => number }) {
  const { activity, spans, gaps } = replay.timeline;
  const ranked = useMemo(() => rankApplications(activity), [activity]);
  return (
    <ul class="legend" aria-label="Colours">
      {ranked.slice(0, COLOURS).map(({ application }) => (
        <li key={application}>
          <span class={`swatch app-${colourOf(application)}`} aria-hidden="true" />
          {application}
        </li>
      ))}
      {ranked.length > COLOURS && (
        <li>
          <span class={`swatch app-${COLOURS}`} aria-hidden="true" />
          others
        </li>
      )}
      {activity.some((one) => one.idle) && (
        <li>
          <span class="swatch app-idle" aria-hidden="true" />
          idle
        </li>
      )}
      {spans.some((one) => one.end_to_end) && (
        <li>
          <span class="swatch is-sealed" aria-hidden="true" />
          sealed end to end
        </li>
      )}
      {gaps.length > 0 && (
        <li>
          <span class="swatch is-gap" aria-hidden="true" />
          not recorded
        </li>
      )}
    </ul>
  );
}
