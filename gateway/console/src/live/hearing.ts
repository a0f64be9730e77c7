/**
 * Sound as it happens: Opus is decoded by the browser, put into its order, and played with as little delay as holds.
 * Never keeps sound: what was played is gone.
 */

import { signal } from "@preact/signals";
import { conceal, JitterBuffer, level, MAX_CONCEALED } from "./jitter";
import type { Packet } from "./message";

const SAMPLE_RATE = 48_000;
const PACKET_S = 0.02;
/** Played so long after it was decoded: what comes a little late is still in time. */
const LEAD_S = 0.08;
/** More than this ahead, and the agent's clock is faster than ours: a packet is left out. */
const MAX_LEAD_S = 0.4;
const LOOK_MS = 20;

export class Hearing {
  /** Loudness from 0 to 1. */
  readonly level = signal(0);
  readonly quiet = signal(true);
  /** Packets that never came, of all. */
  readonly loss = signal({ lost: 0, received: 0 });
  readonly latencyMs = signal<number | undefined>(undefined);
  readonly #buffer = new JitterBuffer();
  readonly #context: AudioContext;
  readonly #out: AnalyserNode;
  readonly #volume: GainNode;
  readonly #samples: Float32Array<ArrayBuffer>;
  readonly #latency: (captureMs: number) => number;
  readonly #looking: ReturnType<typeof setInterval>;
  #decoder: AudioDecoder;
  #last: Float32Array<ArrayBuffer> = new Float32Array(SAMPLE_RATE * PACKET_S);
  #playAt = 0;

  /** Call it from a click: browsers let nothing sound before somebody does something. */
  constructor(latency: (captureMs: number) => number) {
    this.#latency = latency;
    this.#context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
    void this.#context.resume();
    this.#out = this.#context.createAnalyser();
    this.#out.fftSize = 1024;
    this.#samples = new Float32Array(this.#out.fftSize);
    this.#volume = this.#context.createGain();
    this.#out.connect(this.#volume).connect(this.#context.destination);
    this.#decoder = this.#makeDecoder();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Whether this browser can decode what agents send. */
  static get possible(): boolean {
    return typeof AudioDecoder !== "undefined" && typeof AudioContext !== "undefined";
  }

  take(packet: Packet): void {
    this.#buffer.add(packet);
    this.latencyMs.value = this.#latency(packet.timeMs) + 1000 * Math.max(0, this.#playAt - this.#context.currentTime);
    this.#play();
  }

  set muted(muted: boolean) {
    this.#volume.gain.value = muted ? 0 : 1;
  }

  close(): void {
    clearInterval(this.#looking);
    if (this.#decoder.state !== "closed") this.#decoder.close();
    void this.#context.close();
    this.level.value = 0;
  }

  #makeDecoder(): AudioDecoder {
    const decoder = new AudioDecoder({
      output: (data) => this.#hear(data),
      error: () => (this.#decoder = this.#makeDecoder()), // one packet that is no Opus must not end the rest
    });
    decoder.configure({ codec: "opus", sampleRate: SAMPLE_RATE, numberOfChannels: 1 });
    return decoder;
  }

  #play(): void {
    for (const turn of this.#buffer.take(performance.now())) {
      if (turn.kind === "packet") this.#decode(turn.packet);
      else if (turn.kind === "lost") this.#fill(turn.count);
      else this.quiet.value = true;
    }
    this.loss.value = { lost: this.#buffer.lost, received: this.#buffer.received };
  }

  #decode(packet: Packet): void {
    this.quiet.value = false;
    const timestamp = packet.sequence * PACKET_S * 1_000_000;
    if (this.#decoder.state === "configured") {
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp, data: packet.data }));
    }
  }

  #fill(count: number): void {
    for (let turn = 0; turn < Math.min(count, MAX_CONCEALED); turn++) this.#schedule(conceal(this.#last, turn));
  }

  #hear(data: AudioData): void {
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    data.close();
    this.#last = samples;
    this.#schedule(samples);
  }

  #schedule(samples: Float32Array<ArrayBuffer>): void {
    const now = this.#context.currentTime;
    if (this.#playAt < now) this.#playAt = now + LEAD_S;
    if (this.#playAt - now > MAX_LEAD_S || this.#context.state === "closed") return;
    const buffer = this.#context.createBuffer(1, samples.length, SAMPLE_RATE);
    buffer.copyToChannel(samples, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#out);
    source.start(this.#playAt);
    this.#playAt += samples.length / SAMPLE_RATE;
  }

  /** Play what waited long enough, and see how loud it is. */
  #look(): void {
    this.#play();
    this.#out.getFloatTimeDomainData(this.#samples);
    const now = level(this.#samples);
    this.level.value = now > this.level.peek() ? now : Math.max(now, this.level.peek() - 0.02);
  }
}
