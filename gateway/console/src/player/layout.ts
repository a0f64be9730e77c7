/**
 * Where the moments of a timeline stand: the stretch in view, its pixels, its ticks.
 * Never touches the page: numbers in, numbers out.
 */

import type { Stretch } from "./answers";

/** The stretch that is in view. */
export interface View {
  readonly from: number;
  readonly until: number;
}

export const CLOSEST_MS = 10_000;

export const toX = (at: number, view: View, width: number): number => ((at - view.from) / (view.until - view.from)) * width;
export const toTime = (x: number, view: View, width: number): number => view.from + (x / width) * (view.until - view.from);

/** `factor` over 1 looks closer; `at` stays where it is; never beyond `limits`, nor closer than ten seconds. */
export function zoom(view: View, factor: number, at: number, limits: View): View {
  const whole = limits.until - limits.from;
  const length = Math.max(Math.min(CLOSEST_MS, whole), Math.min(whole, (view.until - view.from) / factor));
  const share = (at - view.from) / (view.until - view.from);
  return within(at - share * length, length, limits);
}

export function pan(view: View, by: number, limits: View): View {
  return within(view.from + by, view.until - view.from, limits);
}

/** The view moved so that `at` is in it, if it was not. */
export function follow(view: View, at: number, limits: View): View {
  if (view.from <= at && at <= view.until) return view;
  const length = view.until - view.from;
  return within(at - length * 0.1, length, limits);
}

function within(from: number, length: number, limits: View): View {
  const start = Math.max(limits.from, Math.min(limits.until - length, from));
  return { from: start, until: start + length };
}

const STEPS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/** Ticks that stand at least `apart` pixels from each other, at full times of a zone that is `offset_ms` ahead of UTC. */
export function ticks(view: View, width: number, offset_ms = 0, apart = 84): { at: number[]; step_ms: number } {
  const perPixel = (view.until - view.from) / width;
  const step_ms = 1000 * (STEPS_S.find((step) => step * 1000 >= perPixel * apart) ?? STEPS_S.at(-1)!);
  const first = Math.ceil((view.from + offset_ms) / step_ms) * step_ms - offset_ms;
  const at: number[] = [];
  for (let one = first; one <= view.until; one += step_ms) at.push(one);
  return { at, step_ms };
}

export interface Block {
  readonly x: number;
  readonly width: number;
}

/** Stretches as blocks of at least a pixel; those that would touch are one. */
export function blocks(stretches: readonly Stretch[], view: View, width: number): Block[] {
  const drawn: { x: number; width: number }[] = [];
  for (const one of stretches) {
    if (one.until_ms < view.from || one.from_ms > view.until) continue;
    const x = Math.max(0, toX(one.from_ms, view, width));
    const end = Math.min(width, Math.max(x + 1, toX(one.until_ms, view, width)));
    const last = drawn.at(-1);
    if (last && x >= last.x && x - (last.x + last.width) < 0.5) last.width = Math.max(last.width, end - last.x);
    else drawn.push({ x, width: Math.max(1, end - x) });
  }
  return drawn;
}

/** The first moment of the local day that holds `at`, and of the day after. */
export function dayOf(at: number): View {
  const from = new Date(at);
  from.setHours(0, 0, 0, 0);
  const until = new Date(from);
  until.setDate(until.getDate() + 1);
  return { from: from.getTime(), until: until.getTime() };
}
