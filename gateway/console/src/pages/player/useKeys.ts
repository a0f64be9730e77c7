/** The keys of the player; those that are typed into a field are not taken. */

import { useEffect, useRef } from "preact/hooks";
import { setQuery } from "../../app/router";
import { isTyping } from "../../app/Shell";
import type { Replay } from "./replay";

export interface Actions {
  go: (direction: 1 | -1) => void;
  gap: () => void;
  zoom: (factor: number) => void;
  open: (dialog: "keys" | "clip") => void;
}

const STEP_MS = 5000;

export function useKeys(replay: Replay, actions: Actions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event) || event.defaultPrevented || document.querySelector("dialog[open]")) return;
      const target = event.target as HTMLElement;
      // Buttons and tabs keep their own keys.
      if (event.key === " " && target.closest("button, summary, a")) return;
      if (/^Arrow|^Home$|^End$/.test(event.key) && target.closest("[role=tab], .pans, .terminal")) return;
      const act = tableOf(replay, latest.current)[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [replay]);
}

function tableOf(replay: Replay, actions: Actions): Record<string, (() => void) | undefined> {
  const jump = (by: number) => () => replay.seek(replay.at.peek() + by);
  const ofScreen = (detail: string) => () => void dispatchEvent(new CustomEvent("player-screen", { detail }));
  const mark = (name: "from" | "until") => () => setQuery({ [name]: String(Math.round(replay.at.peek())) });
  return {
    " ": () => replay.toggle(),
    k: () => replay.toggle(),
    ArrowLeft: jump(-STEP_MS),
    ArrowRight: jump(STEP_MS),
    ",": () => replay.step(-1),
    ".": () => replay.step(1),
    "[": () => replay.shiftRate(-1),
    "]": () => replay.shiftRate(1),
    Home: () => replay.seek(replay.whole.from_ms),
    End: () => replay.seek(replay.whole.until_ms - 1),
    g: actions.gap,
    n: () => actions.go(1),
    N: () => actions.go(-1),
    "+": () => actions.zoom(2),
    "=": () => actions.zoom(2),
    "-": () => actions.zoom(0.5),
    i: mark("from"),
    o: mark("until"),
    e: () => actions.open("clip"),
    s: () => (replay.skipsIdle.value = !replay.skipsIdle.peek()),
    m: () => replay.toggleSound(),
    z: ofScreen("exact"),
    f: ofScreen("fullscreen"),
    "?": () => actions.open("keys"),
  };
}
