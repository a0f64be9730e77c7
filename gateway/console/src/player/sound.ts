/**
 * The sound of a recording, in time with its clock.
 * Never sounds faster than twice the pace, and never holds more than the next second.
 */

import type { Rate } from "./clock";
import type { Sound } from "./tape";

/** Faster than this nothing is understood: it is quiet. */
export const LOUDEST_RATE = 2;

const AHEAD_MS = 700;
const DRIFT_MS = 120;
/** A decoder needs a little of what came before. */
const LEAD_MS = 80;

export interface Moment {
  readonly at: number;
  readonly rate: Rate;
  readonly running: boolean;
}

/** Plays one agent's sounds. Made by a click: browsers let pages sound only then. */
export class SoundPlayer {
  readonly #context = new AudioContext();
  readonly #gain = this.#context.createGain();
  readonly #analyser = this.#context.createAnalyser();
  readonly #nodes = new Set<AudioBufferSourceNode>();
  #decoder: AudioDecoder | undefined;
  #channels = 0;
  #anchor: { at: number; time: number; rate: number } | undefined;
  #fedUntil = 0;

  constructor() {
    this.#analyser.fftSize = 1024;
    this.#gain.connect(this.#analyser);
    this.#analyser.connect(this.#context.destination);
  }

  static get supported(): boolean {
    return typeof AudioDecoder === "function" && typeof AudioContext === "function";
  }

  /** Called at every tick: feeds what is due, and begins anew after a jump. */
  tick(moment: Moment, sounds: readonly Sound[]): void {
    const audible = moment.running && moment.rate <= LOUDEST_RATE;
    if (!audible) {
      if (this.#anchor) this.#stop();
      return;
    }
    const anchor = this.#anchor;
    const expected = anchor ? anchor.at + (this.#context.currentTime - anchor.time) * 1000 * anchor.rate : 0;
    if (!anchor || anchor.rate !== moment.rate || Math.abs(expected - moment.at) > DRIFT_MS) this.#begin(moment);
    const until = moment.at + AHEAD_MS * moment.rate;
    for (const sound of sounds) {
      if (sound.at < this.#fedUntil || !sound.data.length) continue;
      if (sound.at > until) break;
      this.#fedUntil = sound.at + sound.duration_ms / 2;
      this.#feed(sound);
    }
  }

  /** How loud it is now, 0 to 1. */
  get level(): number {
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
    return Math.min(1, Math.sqrt(power) * 3);
  }

  close(): void {
    this.#stop();
    if (this.#decoder?.state !== "closed") this.#decoder?.close();
    void this.#context.close();
  }

  #begin({ at, rate }: Moment): void {
    this.#stop();
    void this.#context.resume();
    this.#anchor = { at, time: this.#context.currentTime, rate };
    this.#fedUntil = at - LEAD_MS;
  }

  #stop(): void {
    this.#anchor = undefined;
    for (const node of this.#nodes) node.stop();
    this.#nodes.clear();
    if (this.#decoder?.state === "configured") this.#decoder.reset();
    this.#channels = 0;
  }

  #feed(sound: Sound): void {
    if (sound.codec === "pcm_s16le") {
      this.#place(ofPcm(this.#context, sound), sound.at);
      return;
    }
    this.#configure(sound.channels);
    this.#decoder!.decode(new EncodedAudioChunk({ type: "key", timestamp: sound.at * 1000, data: sound.data }));
  }

  #configure(channels: number): void {
    if (!this.#decoder || this.#decoder.state === "closed") {
      this.#decoder = new AudioDecoder({ output: (data) => this.#take(data), error: () => (this.#channels = 0) });
      this.#channels = 0;
    }
    if (this.#channels === channels) return;
    this.#decoder.configure({ codec: "opus", sampleRate: 48_000, numberOfChannels: channels });
    this.#channels = channels;
  }

  #take(data: AudioData): void {
    const buffer = this.#context.createBuffer(data.numberOfChannels, data.numberOfFrames, data.sampleRate);
    for (let channel = 0; channel < data.numberOfChannels; channel++) {
      data.copyTo(buffer.getChannelData(channel), { planeIndex: channel, format: "f32-planar" });
    }
    this.#place(buffer, data.timestamp / 1000);
    data.close();
  }

  #place(buffer: AudioBuffer, at: number): void {
    const anchor = this.#anchor;
    if (!anchor) return;
    const when = anchor.time + (at - anchor.at) / 1000 / anchor.rate;
    if (when < this.#context.currentTime) return;
    const node = this.#context.createBufferSource();
    node.buffer = buffer;
    node.playbackRate.value = anchor.rate;
    node.connect(this.#gain);
    node.onended = () => this.#nodes.delete(node);
    this.#nodes.add(node);
    node.start(when);
  }
}

function ofPcm(context: BaseAudioContext, sound: Sound): AudioBuffer {
  const view = new DataView(sound.data.buffer, sound.data.byteOffset, sound.data.byteLength);
  const frames = Math.max(1, Math.floor(view.byteLength / 2 / sound.channels));
  const buffer = context.createBuffer(sound.channels, frames, sound.sampleRate);
  for (let channel = 0; channel < sound.channels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let at = 0; at < frames && 2 * (at * sound.channels + channel) + 1 < view.byteLength; at++) {
      samples[at] = view.getInt16(2 * (at * sound.channels + channel), true) / 32_768;
    }
  }
  return buffer;
}
