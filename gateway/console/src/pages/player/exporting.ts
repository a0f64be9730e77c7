/**
 * Exports: the server gives the reference first, then the file is made here, or by the server for text that it may read.
 * Never makes a file without a reference, and never sends what was unlocked here anywhere.
 */

import { postJson } from "../../api/client";
import { session } from "../../app/session";
import type { Issued, Stretch } from "../../player/answers";
import { reasonOf } from "../../player/markers";
import { stateOf } from "../../player/picture";
import { splitKey } from "../../player/tape";
import { formatUtc } from "../../player/utc";
import { unlockSource } from "../../unlocking/current";
import { loadNotes, loadTape } from "./loading";
import type { Replay } from "./replay";

/** A clip is made in memory, so it has an end. */
export const MAX_CLIP_MS = 60 * 60_000;

export interface ExportWish {
  readonly replay: Replay;
  readonly stretch: Stretch;
  readonly displays: readonly string[];
  readonly purpose: string;
}

export interface Made {
  readonly reference: string;
  readonly url: string;
  readonly file: string;
}

export async function exportClip(wish: ExportWish, progress: (share: number) => void, signal: AbortSignal): Promise<Made> {
  const { replay, stretch, purpose } = wish;
  const sounds = replay.timeline.spans.filter((span) => span.stream === "audio" && span.from_ms < stretch.until_ms && span.until_ms > stretch.from_ms);
  const streams = sounds.length ? ["screen", "audio"] : ["screen"];
  const agents = replay.timeline.agents.map((one) => one.agent_id);
  const { reference } = await issue(wish, streams, "clip", signal);
  const ending = endWithLock(signal);
  const order = { stretch, reference, purpose, person: replay.timeline.person, exportedBy: exporter(), displays: wish.displays, soundOf: sounds[0]?.agent_id };
  // The encoder's library is large, and most people never export.
  const { makeClip } = await import("../../player/clip");
  const blob = await makeClip(order, {
    load: (part, aborted) => loadTape({ agents, streams, purpose }, part, aborted),
    createCanvas: () => replay.screens.createCanvas(),
    missing: (key, at, shotAt) => missingAt(replay, key, at, shotAt),
    progress,
  }, ending);
  return { reference, url: URL.createObjectURL(blob), file: `${reference}.webm` };
}

export async function exportText(wish: ExportWish, progress: (share: number) => void, signal: AbortSignal): Promise<Made> {
  const { replay, stretch, purpose } = wish;
  const issued = await issue(wish, ["keystrokes", "email", "screen"], "text", signal);
  const file = `${issued.reference}.txt`;
  if (!unlockSource.value && issued.text_url) return { reference: issued.reference, url: issued.text_url.replace(/^\/api\/v1/, ""), file };
  const agents = replay.timeline.agents.map((one) => one.agent_id);
  const notes = await loadNotes({ agents, streams: ["keystrokes", "email"], purpose }, stretch, endWithLock(signal));
  progress(0.5);
  const order = { stretch, reference: issued.reference, person: replay.timeline.person, exportedBy: exporter(), purpose };
  const gaps = replay.timeline.gaps.filter((gap) => gap.from_ms < stretch.until_ms && gap.until_ms > stretch.from_ms);
  const { makeText } = await import("../../player/clipText");
  const text = await makeText(order, notes, gaps);
  return { reference: issued.reference, url: URL.createObjectURL(new Blob([text], { type: "text/plain" })), file };
}

function issue({ replay, stretch, purpose }: ExportWish, streams: readonly string[], kind: "clip" | "text", signal: AbortSignal): Promise<Issued> {
  const body = {
    person: replay.timeline.person,
    agents: replay.timeline.agents.map((one) => one.agent_id),
    streams,
    since_ms: stretch.from_ms,
    until_ms: stretch.until_ms,
    kind,
    purpose,
  };
  return postJson<Issued>("/exports", body, signal);
}

const exporter = (): string => session.value?.account.name ?? "";

/** Aborted with `signal`, and by a lock: what was opened must not go on into a file then. */
function endWithLock(signal: AbortSignal): AbortSignal {
  const before = unlockSource.peek();
  const locked = new AbortController();
  const stop = unlockSource.subscribe((now) => now !== before && locked.abort(new Error("It was locked meanwhile. Unlock and export again.")));
  signal.addEventListener("abort", stop);
  return AbortSignal.any([signal, locked.signal]);
}

/** Why a display's picture is not shown at the moment, in words that stand in the clip. */
function missingAt(replay: Replay, key: string, at: number, shotAt: number | undefined): string | undefined {
  const { agent } = splitKey(key);
  const state = stateOf(replay.timeline, agent, at, shotAt);
  const name = replay.computers.get(agent) ?? "";
  if (state.is === "gap") {
    return `${name}: nothing was recorded from ${formatUtc(state.gap.from_ms)} to ${formatUtc(state.gap.until_ms)}: ${reasonOf(state.gap)}`;
  }
  if (state.is === "sealed") return `${name}: sealed end to end`;
  return state.is === "nothing" ? `${name}: nothing was recorded at this time` : undefined;
}
