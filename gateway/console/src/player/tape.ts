/**
 * What was decoded of one window: the frames of each display, and sound.
 * Never draws or plays: it says what there is, in order of time.
 */

import type { Bytes } from "../unlock/bytes";
import type { Frame } from "../unlock/canvas";
import type { Stretch } from "./answers";
import type { Piece } from "./pieces";

export interface Shot {
  /** Milliseconds, with their fraction: frames are told in microseconds. */
  readonly at: number;
  readonly frame: Frame;
}

export interface Sound {
  readonly at: number;
  readonly duration_ms: number;
  readonly codec: "opus" | "pcm_s16le";
  readonly sampleRate: number;
  readonly channels: number;
  /** Empty: silence. */
  readonly data: Bytes;
}

/** A line of text that was on a screen that is sealed end to end, as its agent read it. */
export interface ReadText {
  readonly at: number;
  readonly until: number;
  readonly agent: string;
  readonly text: string;
}

export const displayKey = (agent: string, display: number): string => `${agent}/${display}`;

export function splitKey(key: string): { agent: string; display: number } {
  const at = key.lastIndexOf("/");
  return { agent: key.slice(0, at), display: Number(key.slice(at + 1)) };
}

export class Tape {
  readonly stretch: Stretch;
  readonly displays = new Map<string, Shot[]>();
  readonly sounds = new Map<string, Sound[]>();
  texts: ReadText[] = [];
  /** Envelopes that stayed sealed, by stream. */
  sealed: ReadonlyMap<string, number> = new Map();
  /** When envelopes of screens that stayed sealed were captured, by agent. */
  sealedScreens: ReadonlyMap<string, readonly number[]> = new Map();
  damaged = 0;
  bytes = 0;

  constructor(stretch: Stretch) {
    this.stretch = stretch;
  }

  add({ head, kind, events, bytes }: Piece): void {
    this.bytes += bytes;
    if (kind === "screen") for (const frame of events as unknown as Frame[]) this.#addFrame(head.agent, frame);
    if (kind === "audio") this.#addSounds(head.agent, events as unknown as AudioEvent[]);
    if (kind === "text") this.#addTexts(head.agent, events as unknown as TextEvent[]);
  }

  /** Everything came: what is not needed to draw from the beginning of the window on is left out. */
  finish(): void {
    for (const [key, shots] of this.displays) {
      const first = shots.findLastIndex((shot) => shot.frame.key_frame && shot.at <= this.stretch.from_ms);
      if (first > 0) this.displays.set(key, shots.slice(first));
    }
  }

  /** When the picture that is seen at the moment was taken; `undefined`: there is none, or what came after is sealed. */
  shotAt(key: string, at: number): number | undefined {
    const shots = this.displays.get(key) ?? [];
    const taken = shots[lastShot(shots, at)]?.at;
    if (taken === undefined) return undefined;
    const since = this.sealedScreens.get(splitKey(key).agent)?.some((moment) => moment > taken && moment <= at);
    return since ? undefined : taken;
  }

  #addFrame(agent: string, frame: Frame): void {
    const key = displayKey(agent, frame.display);
    const shots = this.displays.get(key) ?? [];
    if (!shots.length) this.displays.set(key, shots);
    const at = frame.time_us / 1000;
    const last = shots.at(-1);
    if (last && at <= last.at && !frame.key_frame) return;
    shots.push({ at, frame });
  }

  #addSounds(agent: string, events: readonly AudioEvent[]): void {
    const sounds = this.sounds.get(agent) ?? [];
    this.sounds.set(agent, sounds);
    for (const event of events) {
      sounds.push({
        at: event.time_us / 1000,
        duration_ms: event.duration_us / 1000,
        codec: event.codec,
        sampleRate: event.sample_rate,
        channels: event.channels,
        data: event.data,
      });
    }
  }

  #addTexts(agent: string, events: readonly TextEvent[]): void {
    for (const { time_us, until_us, kind, text } of events) {
      if (kind === "screen") this.texts.push({ at: time_us / 1000, until: until_us / 1000, agent, text });
    }
  }
}

interface AudioEvent {
  time_us: number;
  duration_us: number;
  codec: "opus" | "pcm_s16le";
  sample_rate: number;
  channels: number;
  data: Bytes;
}

interface TextEvent {
  time_us: number;
  until_us: number;
  kind: string;
  text: string;
}

/** Where the last shot at or before the moment stands; -1: there is none. */
export function lastShot(shots: readonly Shot[], at: number): number {
  let low = 0;
  let high = shots.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shots[middle]!.at <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
