/**
 * The frame after or before a moment, by the frames' own times, over the edges of windows.
 * Never guesses one: what is not loaded is asked for, and the step waits.
 */

import type { Stretch } from "../../player/answers";
import { lastShot, type Tape } from "../../player/tape";
import type { Window, Windows } from "../../player/windows";

/** More empty windows than this are not looked through. */
const MOST_WINDOWS = 6;

/** The moment to go to; `loading`: ask again when something came; `undefined`: there is none near. */
export function findStep(
  windows: Windows<Tape>, at: number, direction: -1 | 1, limits: Stretch, length_ms: number,
): number | "loading" | undefined {
  const shown = shownAt(windows.at(at), at);
  let place = at;
  for (let turn = 0; turn < MOST_WINDOWS; turn++) {
    if (place < limits.from_ms || place >= limits.until_ms) return undefined;
    const window = windows.at(place);
    if (!window) {
      if (direction > 0) windows.want(place, length_ms, 0);
      else windows.wantBefore(place + 1, length_ms);
      return "loading";
    }
    if (window.state === "loading") return "loading";
    if (window.state === "failed") return undefined;
    const found = direction > 0 ? findAfter(window, at) : findBefore(window, shown);
    if (found !== undefined) return found;
    place = direction > 0 ? window.until_ms : window.from_ms - 1;
  }
  return undefined;
}

function findAfter(window: Window<Tape>, at: number): number | undefined {
  const next = [...window.value.displays.values()].flatMap((shots) => shots[lastShot(shots, at) + 1]?.at ?? []);
  const inside = next.filter((one) => one > at && one < window.until_ms);
  return inside.length ? Math.min(...inside) : undefined;
}

const timesOf = (tape: Tape): number[] => [...tape.displays.values()].flatMap((shots) => shots.map((shot) => shot.at));

/** When the frame was taken that is shown at the moment. */
function shownAt(window: Window<Tape> | undefined, at: number): number {
  const until = window ? timesOf(window.value).filter((one) => one <= at) : [];
  return until.length ? Math.max(...until) : at;
}

/** The last frame of the window before that time. */
function findBefore(window: Window<Tape>, shown: number): number | undefined {
  const before = timesOf(window.value).filter((one) => one < shown && one >= window.from_ms);
  return before.length ? Math.max(...before) : undefined;
}
