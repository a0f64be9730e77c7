/**
 * Draws the timeline's tracks into a canvas. Only draws: where things stand is `player/layout.ts`, what they are `player/tracks.ts`.
 * Never draws a gap as anything but hatched.
 */

import type { Stretch } from "../../player/answers";
import { blocks, ticks, toX, type View } from "../../player/layout";
import type { Marker } from "../../player/markers";
import type { Track } from "../../player/tracks";
import { formatClock, formatMinute } from "../../ui/format";
import { themeColour } from "../../ui/Chart";

export const RULER = 20;
export const ROW = 22;
const BAR = 14;

export interface Drawn {
  readonly view: View;
  readonly tracks: readonly Track[];
  readonly markers: readonly Marker[];
  readonly colourOf: (application: string) => number;
  readonly chosen: Stretch | undefined;
}

export const heightOf = (tracks: readonly Track[]): number => RULER + ROW * tracks.length + 2;

/** Prepare the canvas for this size; `undefined` when it has none. */
export function contextOf(canvas: HTMLCanvasElement, height: number): { context: CanvasRenderingContext2D; width: number } | undefined {
  const width = canvas.clientWidth;
  if (!width) return undefined;
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d")!;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width };
}

export function drawTracks(canvas: HTMLCanvasElement, drawn: Drawn): void {
  const height = heightOf(drawn.tracks);
  const ready = contextOf(canvas, height);
  if (!ready) return;
  const { context, width } = ready;
  drawRuler(context, drawn.view, width, height);
  drawn.tracks.forEach((track, number) => drawTrack(context, track, RULER + ROW * number, width, drawn));
  if (drawn.chosen) drawChosen(context, drawn.chosen, drawn.view, width, height);
}

function drawRuler(context: CanvasRenderingContext2D, view: View, width: number, height: number): void {
  const offset = -new Date(view.from).getTimezoneOffset() * 60_000;
  const { at, step_ms } = ticks(view, width, offset);
  const name = step_ms < 60_000 ? formatClock : formatMinute;
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (const one of at) {
    const x = Math.round(toX(one, view, width)) + 0.5;
    context.strokeStyle = themeColour("line");
    context.beginPath();
    context.moveTo(x, RULER - 3);
    context.lineTo(x, height);
    context.stroke();
    context.fillStyle = themeColour("text-quiet");
    if (x > 24 && x < width - 24) context.fillText(name(one), x, RULER / 2 - 1);
  }
}

function drawTrack(context: CanvasRenderingContext2D, track: Track, top: number, width: number, drawn: Drawn): void {
  const y = top + (ROW - BAR) / 2;
  const { view } = drawn;
  context.fillStyle = themeColour("sunken");
  context.fillRect(0, y, width, BAR);
  if (track.kind === "markers") {
    drawMarkers(context, drawn.markers, view, y, width);
    return;
  }
  if (track.kind === "activity") drawActivity(context, track, y, width, drawn);
  const sealed = track.spans.filter((span) => span.end_to_end);
  const open = track.spans.filter((span) => !span.end_to_end);
  fill(context, open, view, y, width, themeColour("track"));
  fill(context, sealed, view, y, width, themeColour("sealed"));
  for (const block of blocks(sealed, view, width)) stripe(context, block.x, y, block.width);
  hatch(context, track.gaps, view, y, width);
}

function drawActivity(context: CanvasRenderingContext2D, track: Track, y: number, width: number, { view, colourOf }: Drawn): void {
  const byColour = new Map<string, Stretch[]>();
  for (const one of track.activity) {
    if (one.paused) continue;
    const name = one.idle ? "app-idle" : `app-${colourOf(one.application)}`;
    byColour.set(name, [...(byColour.get(name) ?? []), one]);
  }
  for (const [name, stretches] of byColour) fill(context, stretches, view, y, width, themeColour(name));
}

function fill(context: CanvasRenderingContext2D, stretches: readonly Stretch[], view: View, y: number, width: number, colour: string): void {
  context.fillStyle = colour;
  for (const block of blocks(stretches, view, width)) context.fillRect(block.x, y, block.width, BAR);
}

/** What is sealed differs by more than its colour. */
function stripe(context: CanvasRenderingContext2D, x: number, y: number, width: number): void {
  context.fillStyle = themeColour("surface");
  context.fillRect(x, y + BAR / 2 - 1, width, 2);
}

function hatch(context: CanvasRenderingContext2D, gaps: readonly Stretch[], view: View, y: number, width: number): void {
  for (const { x, width: wide } of blocks(gaps, view, width)) {
    const drawn = Math.max(3, wide);
    context.save();
    context.beginPath();
    context.rect(x, y, drawn, BAR);
    context.clip();
    context.fillStyle = themeColour("bad-soft");
    context.fillRect(x, y, drawn, BAR);
    context.strokeStyle = themeColour("bad");
    context.lineWidth = 1.5;
    context.beginPath();
    for (let at = x - BAR; at < x + drawn; at += 5) {
      context.moveTo(at, y + BAR);
      context.lineTo(at + BAR, y);
    }
    context.stroke();
    context.restore();
  }
}

function drawMarkers(context: CanvasRenderingContext2D, markers: readonly Marker[], view: View, y: number, width: number): void {
  for (const marker of markers) {
    const x = toX(marker.at, view, width);
    if (x < -4 || x > width + 4) continue;
    context.beginPath();
    if (marker.kind === "hit") {
      context.fillStyle = themeColour("accent");
      context.arc(x, y + BAR / 2, 4.5, 0, 7);
    } else {
      context.fillStyle = themeColour(marker.kind === "alert" ? "bad" : "warn");
      context.moveTo(x, y + 1);
      context.lineTo(x + 6, y + BAR - 1);
      context.lineTo(x - 6, y + BAR - 1);
    }
    context.fill();
  }
}

function drawChosen(context: CanvasRenderingContext2D, chosen: Stretch, view: View, width: number, height: number): void {
  const from = toX(chosen.from_ms, view, width);
  const until = toX(chosen.until_ms, view, width);
  context.save();
  context.globalAlpha = 0.18;
  context.fillStyle = themeColour("accent");
  context.fillRect(from, 0, Math.max(1, until - from), height);
  context.restore();
  context.fillStyle = themeColour("accent");
  context.fillRect(from - 1, 0, 2, height);
  context.fillRect(until - 1, 0, 2, height);
}

export const OVERVIEW = 26;

/** The whole day, small: when there is anything, gaps, and which part is in view. */
export function drawOverview(canvas: HTMLCanvasElement, drawn: Drawn, limits: View): void {
  const ready = contextOf(canvas, OVERVIEW);
  if (!ready) return;
  const { context, width } = ready;
  context.fillStyle = themeColour("sunken");
  context.fillRect(0, 4, width, OVERVIEW - 8);
  const spans = drawn.tracks.flatMap((track) => [...track.spans, ...track.activity.filter((one) => !one.idle && !one.paused)]);
  context.fillStyle = themeColour("track");
  for (const block of blocks([...spans].sort((a, b) => a.from_ms - b.from_ms), limits, width)) context.fillRect(block.x, 8, block.width, OVERVIEW - 16);
  context.fillStyle = themeColour("bad");
  for (const gap of drawn.tracks.flatMap((track) => track.gaps)) {
    context.fillRect(toX(gap.from_ms, limits, width), 4, Math.max(2, toX(gap.until_ms, limits, width) - toX(gap.from_ms, limits, width)), 3);
  }
  context.strokeStyle = themeColour("accent");
  context.lineWidth = 2;
  const from = toX(drawn.view.from, limits, width);
  context.strokeRect(from + 1, 2, Math.max(6, toX(drawn.view.until, limits, width) - from - 2), OVERVIEW - 4);
}
