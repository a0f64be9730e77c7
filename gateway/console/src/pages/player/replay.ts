/**
 * A person's day as it is watched: one clock, and everything that follows it.
 * Never shows anything but the clock's moment, and never keeps what a lock takes away.
 */

import { computed, effect, signal } from "@preact/signals";
import type { Gap, Stretch, TimelineAnswer } from "../../player/answers";
import { Clock, type Rate } from "../../player/clock";
import { Notes } from "../../player/notes";
import { SoundPlayer } from "../../player/sound";
import { extent, findQuiet, join, leap } from "../../player/stretches";
import { Tape } from "../../player/tape";
import { Windows } from "../../player/windows";
import { formatDuration } from "../../ui/format";
import { unlockSource } from "../../unlocking/current";
import { loadInto } from "./loading";
import { Screens } from "./screens";
import { findStep } from "./stepping";

const MEDIA_MS = 60_000;
const TEXT_MS = 15 * 60_000;
const TEXT_LEAD_MS = 10 * 60_000;
const MEDIA_BYTES = 128 * 1024 * 1024;
const TEXT_BYTES = 48 * 1024 * 1024;
/** A gap that would be skipped is shown so long. */
const GAP_SHOWN_MS = 2000;
/** Drawing may be so late before the clock waits for it. */
const BEHIND_MS = 300;
const TOLD_MS = 3500;

export class Replay {
  readonly timeline: TimelineAnswer;
  readonly limits: Stretch;
  /** From the first thing that there is to the last. */
  readonly whole: Stretch;
  readonly at = signal(0);
  /** The moment, to a quarter of a second: enough for words and lists. */
  readonly coarse = computed(() => Math.floor(this.at.value / 250) * 250);
  readonly playing = signal(false);
  readonly rate = signal<Rate>(1);
  readonly waiting = signal(false);
  readonly skipsIdle = signal(true);
  readonly sounding = signal(false);
  /** What was skipped, for a moment. */
  readonly told = signal("");
  /** Grows when a window came or was dropped. */
  readonly version = signal(0);
  readonly screens: Screens;
  readonly media: Windows<Tape>;
  readonly text: Windows<Notes>;
  readonly #clock: Clock;
  readonly #quiet: Stretch[];
  readonly #recorded: Stretch[];
  #sound: SoundPlayer | undefined;
  #ticking = 0;
  #gapSince: { gap: Gap; since: number } | undefined;
  #behindSince: number | undefined;
  #stepping: -1 | 0 | 1 = 0;
  #toldTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #unwatch: () => void;

  constructor(timeline: TimelineAnswer, at: number, now: number) {
    this.timeline = timeline;
    this.limits = { from_ms: timeline.since_ms, until_ms: Math.max(timeline.since_ms + 1, Math.min(timeline.until_ms, now)) };
    this.whole = extent(timeline) ?? this.limits;
    this.#quiet = findQuiet(timeline);
    this.#recorded = join(timeline.spans);
    this.#clock = new Clock(() => performance.now(), at);
    this.at.value = at;
    this.media = this.#windows((stretch) => new Tape(stretch), this.#mediaStreams(), MEDIA_BYTES, 2000);
    this.text = this.#windows((stretch) => new Notes(stretch), ["keystrokes", "email"], TEXT_BYTES, TEXT_LEAD_MS);
    this.screens = new Screens((key) => this.#target(key));
    this.#unwatch = effect(() => this.#renew(unlockSource.value));
    this.#ticking = requestAnimationFrame(this.#tick);
  }

  #mediaStreams(): string[] {
    return this.timeline.spans.some((span) => span.stream === "audio") ? ["screen", "audio"] : ["screen"];
  }

  #windows<T extends Tape | Notes>(create: (stretch: Stretch) => T, streams: readonly string[], maxBytes: number, lead_ms: number): Windows<T> {
    const agents = this.timeline.agents.map((one) => one.agent_id);
    const terminalStart = streams.includes("keystrokes");
    const grew = () => (this.version.value += 1);
    return new Windows<T>({
      create,
      load: (value, stretch, signal) => loadInto(value, { agents, streams, terminalStart }, stretch, signal, grew),
      bytes: (value) => value.bytes,
      changed: grew,
      limits: () => this.limits,
      lead_ms,
      maxBytes,
    });
  }

  get computers(): ReadonlyMap<string, string> {
    return new Map(this.timeline.agents.map((one) => [one.agent_id, one.computer]));
  }

  play(): void {
    if (this.#clock.at >= this.whole.until_ms - 50) this.seek(this.whole.from_ms);
    this.#clock.play();
    this.playing.value = true;
  }

  pause(): void {
    this.#clock.pause();
    this.playing.value = false;
  }

  toggle(): void {
    if (this.playing.peek()) this.pause();
    else this.play();
  }

  seek(at: number): void {
    this.#stepping = 0;
    this.#go(at);
  }

  setRate(rate: Rate): void {
    this.#clock.setRate(rate);
    this.rate.value = rate;
  }

  shiftRate(steps: number): void {
    this.rate.value = this.#clock.shift(steps);
  }

  /** One frame forth or back, as they were recorded; it may have to be loaded first. */
  step(direction: -1 | 1): void {
    this.pause();
    this.#stepping = direction;
    this.#tryStep();
  }

  /** Sound on or off; on needs the click or key that asks for it. */
  toggleSound(): void {
    if (this.#sound) this.#sound.close();
    this.#sound = this.#sound ? undefined : new SoundPlayer();
    this.sounding.value = this.#sound !== undefined;
  }

  get level(): number {
    return this.#sound?.level ?? 0;
  }

  retry(): void {
    this.media.retry();
    this.text.retry();
    this.version.value += 1;
  }

  /** Say something for a moment. */
  tell(text: string): void {
    clearTimeout(this.#toldTimer);
    this.told.value = text;
    this.#toldTimer = setTimeout(() => (this.told.value = ""), TOLD_MS);
  }

  close(): void {
    cancelAnimationFrame(this.#ticking);
    clearTimeout(this.#toldTimer);
    this.#unwatch();
    this.#sound?.close();
    this.media.clear();
    this.text.clear();
    this.screens.clear();
  }

  /** Displays of which there is a picture in the window of the moment, in order. */
  displaysAt(at: number): string[] {
    return [...(this.media.at(at)?.value.displays.keys() ?? [])].sort();
  }

  #go(at: number): void {
    this.#clock.seek(Math.max(this.limits.from_ms, Math.min(this.limits.until_ms - 1, at)));
    this.#gapSince = undefined;
    this.at.value = this.#clock.at;
  }

  #target(key: string) {
    const at = this.at.peek();
    const shots = this.media.at(at)?.value.displays.get(key);
    return shots && { shots, at };
  }

  /** Another unlock, or none: nothing that was loaded with the one before stays. */
  #renew(source: typeof unlockSource.value): void {
    this.media.clear();
    this.text.clear();
    this.screens.renew(source);
    this.version.value = this.version.peek() + 1;
  }

  readonly #tick = (): void => {
    this.#ticking = requestAnimationFrame(this.#tick);
    if (this.#clock.playing && !this.#clock.held) this.#advance();
    const at = this.#clock.at;
    this.at.value = at;
    const rate = this.#clock.rate;
    const pace = this.#clock.playing ? rate : 1;
    const length = MEDIA_MS * Math.max(1, Math.min(10, pace / 2));
    this.media.want(at, length, this.#clock.playing ? Math.max(20_000, 12_000 * rate) : 0);
    this.text.want(at, TEXT_MS + TEXT_LEAD_MS, this.#clock.playing ? 30_000 * rate : 0);
    if (this.#stepping) this.#tryStep();
    this.screens.show();
    this.#hold(at);
    const sounds = this.media.at(at)?.value.sounds.values().next().value ?? [];
    this.#sound?.tick({ at, rate, running: this.#clock.playing && !this.#clock.held }, sounds);
  };

  /** Let the clock wait for data, or for drawing that is late. */
  #hold(at: number): void {
    const ready = this.media.at(at)?.state === "ready" || at >= this.limits.until_ms - 1;
    const now = performance.now();
    this.#behindSince = this.screens.behind ? (this.#behindSince ?? now) : undefined;
    const late = this.#behindSince !== undefined && now - this.#behindSince > BEHIND_MS;
    this.#clock.hold(this.#clock.playing && (!ready || late));
    this.waiting.value = !ready && this.media.at(at)?.state !== "failed";
  }

  /** Over the end, or over what is quiet. */
  #advance(): void {
    const at = this.#clock.at;
    if (at >= this.whole.until_ms) {
      this.#go(this.whole.until_ms);
      this.pause();
      return;
    }
    if (!this.skipsIdle.peek()) return;
    const found = leap(at, this.#quiet, this.timeline.gaps, this.#recorded);
    if (!found) {
      this.#gapSince = undefined;
      return;
    }
    if (found.gap && !this.#wasShown(found.gap)) return;
    this.#go(Math.min(found.to_ms, this.whole.until_ms));
    this.tell(`Skipped ${formatDuration(found.skipped_ms)}${found.gap ? " that were not recorded" : ""}`);
  }

  #wasShown(gap: Gap): boolean {
    if (this.#gapSince?.gap !== gap) this.#gapSince = { gap, since: performance.now() };
    return performance.now() - this.#gapSince.since >= GAP_SHOWN_MS;
  }

  #tryStep(): void {
    const direction = this.#stepping;
    if (!direction) return;
    const to = findStep(this.media, this.#clock.at, direction, this.limits, MEDIA_MS / 2);
    if (to === "loading") return;
    this.#stepping = 0;
    if (to === undefined) this.tell(direction > 0 ? "There is no later frame near" : "There is no earlier frame near");
    else this.#go(to);
  }
}
