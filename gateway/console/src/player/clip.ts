/**
 * A stretch of a recording as a WebM file, made in this page; what is unlocked here is never sent anywhere for it.
 * Never hides a gap, and never makes a picture without its footer: the reference, whose it is, when, and who exported it.
 */

import {
  BufferTarget, CanvasSource, EncodedAudioPacketSource, EncodedPacket, getFirstEncodableVideoCodec, Output, QUALITY_HIGH, WebMOutputFormat,
} from "mediabunny";
import { Canvas } from "../unlock/canvas";
import type { Stretch } from "./answers";
import { Painter } from "./painter";
import { Slicer } from "../unlock/slices";
import { type Sound, type Tape } from "./tape";
import { formatUtc } from "./utc";

export interface ClipOrder {
  readonly stretch: Stretch;
  readonly reference: string;
  readonly person: string;
  readonly exportedBy: string;
  readonly purpose: string;
  /** Keys of the displays that are shown, side by side. */
  readonly displays: readonly string[];
  /** The agent whose sound is in it. */
  readonly soundOf: string | undefined;
}

export interface ClipParts {
  /** A window of the recording, whole. */
  load: (stretch: Stretch, signal: AbortSignal) => Promise<Tape>;
  createCanvas: () => Canvas;
  /** Why there is no picture of that display then, or nothing when there should be one. */
  missing: (display: string, at: number, shotAt: number | undefined) => string | undefined;
  progress: (share: number) => void;
}

const WINDOW_MS = 60_000;
const MAX_WIDTH = 1920;
const MAX_HEIGHT = 1200;
const FOOTER = 40;

/** The file; throws what loading throws, and `DOMException` when it was aborted. */
export async function makeClip(order: ClipOrder, parts: ClipParts, signal: AbortSignal): Promise<Blob> {
  const { from_ms, until_ms } = order.stretch;
  let tape = await parts.load({ from_ms, until_ms: Math.min(until_ms, from_ms + WINDOW_MS) }, signal);
  const stage = new Stage(order, parts, tape);
  const writer = await Writer.open(stage.canvas, order);
  const slicer = new Slicer();
  try {
    for (;;) {
      const moments = momentsOf(tape, order);
      for (const [number, at] of moments.entries()) {
        signal.throwIfAborted();
        await stage.draw(tape, at);
        await writer.addPicture(at, (moments[number + 1] ?? tape.stretch.until_ms) - at);
        parts.progress((at - from_ms) / (until_ms - from_ms));
        await slicer.pause();
      }
      if (order.soundOf) await writer.addSounds(tape.sounds.get(order.soundOf) ?? []);
      const next = tape.stretch.until_ms;
      if (next >= until_ms) break;
      tape = await parts.load({ from_ms: next, until_ms: Math.min(until_ms, next + WINDOW_MS) }, signal);
    }
    return await writer.finish();
  } catch (error) {
    await writer.cancel();
    throw error;
  } finally {
    stage.close();
  }
}

/** When the picture changes: with every frame, and with the clock in the footer. */
function momentsOf(tape: Tape, order: ClipOrder): number[] {
  const { from_ms, until_ms } = tape.stretch;
  const moments = new Set<number>();
  for (let at = from_ms; at < until_ms; at += 1000) moments.add(at);
  for (const key of order.displays) {
    for (const shot of tape.displays.get(key) ?? []) if (shot.at > from_ms && shot.at < until_ms) moments.add(shot.at);
  }
  return [...moments].sort((one, other) => one - other);
}

/** The picture that is encoded: the displays side by side over the footer. */
class Stage {
  readonly canvas: OffscreenCanvas;
  readonly #context: OffscreenCanvasRenderingContext2D;
  readonly #painters: Map<string, Painter>;
  readonly #order: ClipOrder;
  readonly #parts: ClipParts;

  constructor(order: ClipOrder, parts: ClipParts, first: Tape) {
    this.#order = order;
    this.#parts = parts;
    this.#painters = new Map(order.displays.map((key) => [key, new Painter(parts.createCanvas())]));
    const sizes = order.displays.map((key) => first.displays.get(key)?.[0]?.frame).filter((frame) => frame !== undefined);
    const width = sizes.reduce((sum, one) => sum + one.width, 0) || 1280;
    const height = sizes.reduce((most, one) => Math.max(most, one.height), 0) || 720;
    const scale = Math.min(1, MAX_WIDTH / width, MAX_HEIGHT / height);
    this.canvas = new OffscreenCanvas(Math.max(640, even(width * scale)), even(height * scale) + FOOTER);
    this.#context = this.canvas.getContext("2d", { alpha: false })!;
  }

  async draw(tape: Tape, at: number): Promise<void> {
    const { width, height } = this.canvas;
    const context = this.#context;
    context.fillStyle = "#0d1113";
    context.fillRect(0, 0, width, height);
    const room = width / Math.max(1, this.#painters.size);
    let left = 0;
    for (const [key, painter] of this.#painters) {
      const shots = tape.displays.get(key) ?? [];
      await painter.show(() => ({ shots, at }), () => {});
      const missing = this.#parts.missing(key, at, tape.shotAt(key, at)) ?? (painter.canvas.width ? undefined : "No picture of this time");
      if (missing) this.#say(missing, left, room, height - FOOTER);
      else this.#place(painter.canvas, left, room, height - FOOTER);
      left += room;
    }
    this.#drawFooter(at);
  }

  close(): void {
    for (const painter of this.#painters.values()) painter.canvas.close();
    this.canvas.width = this.canvas.height = 1;
  }

  #place(picture: Canvas, left: number, room: number, height: number): void {
    const whole = new OffscreenCanvas(picture.width, picture.height);
    whole.getContext("2d")!.putImageData(new ImageData(picture.rgba, picture.width), 0, 0);
    const scale = Math.min(room / picture.width, height / picture.height);
    const [wide, high] = [picture.width * scale, picture.height * scale];
    this.#context.drawImage(whole, left + (room - wide) / 2, (height - high) / 2, wide, high);
  }

  #say(text: string, left: number, room: number, height: number): void {
    this.#context.fillStyle = "#e6ebee";
    this.#context.font = "18px sans-serif";
    this.#context.textAlign = "center";
    this.#context.fillText(text, left + room / 2, height / 2, room - 40);
  }

  #drawFooter(at: number): void {
    const { width, height } = this.canvas;
    const context = this.#context;
    context.fillStyle = "#ffffff";
    context.fillRect(0, height - FOOTER, width, FOOTER);
    context.fillStyle = "#1b2327";
    context.font = "16px sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(this.#order.reference, 12, height - FOOTER / 2);
    const right = `${this.#order.person} · ${formatUtc(at)} · exported by ${this.#order.exportedBy}`;
    context.textAlign = "right";
    context.fillText(right, width - 12, height - FOOTER / 2, width - 190);
    context.textBaseline = "alphabetic";
  }
}

const even = (length: number): number => Math.max(2, 2 * Math.round(length / 2));

class Writer {
  readonly #output: Output<WebMOutputFormat, BufferTarget>;
  readonly #pictures: CanvasSource;
  readonly #sounds: EncodedAudioPacketSource | undefined;
  readonly #order: ClipOrder;
  #soundedUntil = 0;

  private constructor(output: Output<WebMOutputFormat, BufferTarget>, pictures: CanvasSource, sounds: EncodedAudioPacketSource | undefined, order: ClipOrder) {
    this.#output = output;
    this.#pictures = pictures;
    this.#sounds = sounds;
    this.#order = order;
  }

  static async open(canvas: OffscreenCanvas, order: ClipOrder): Promise<Writer> {
    const size = { width: canvas.width, height: canvas.height };
    const codec = await getFirstEncodableVideoCodec(["vp9", "vp8"], size);
    if (!codec) throw new Error("This browser cannot encode video. Use a current Chromium, Edge or Chrome.");
    const output = new Output({ format: new WebMOutputFormat(), target: new BufferTarget() });
    const pictures = new CanvasSource(canvas, { codec, bitrate: QUALITY_HIGH, keyFrameInterval: 5 });
    output.addVideoTrack(pictures);
    const sounds = order.soundOf ? new EncodedAudioPacketSource("opus") : undefined;
    if (sounds) output.addAudioTrack(sounds);
    const when = `${formatUtc(order.stretch.from_ms)} to ${formatUtc(order.stretch.until_ms)}`;
    output.setMetadataTags({
      title: `${order.reference}: ${order.person}, ${when}`,
      comment: `Reference ${order.reference}. Recording of ${order.person}, ${when}. Exported by ${order.exportedBy}. Purpose: ${order.purpose}`,
      date: new Date(order.stretch.from_ms),
      raw: { REFERENCE: order.reference },
    });
    await output.start();
    return new Writer(output, pictures, sounds, order);
  }

  addPicture(at: number, duration_ms: number): Promise<void> {
    return this.#pictures.add((at - this.#order.stretch.from_ms) / 1000, duration_ms / 1000);
  }

  async addSounds(sounds: readonly Sound[]): Promise<void> {
    const { from_ms, until_ms } = this.#order.stretch;
    for (const sound of sounds) {
      const inside = sound.at >= Math.max(from_ms, this.#soundedUntil) && sound.at < until_ms;
      if (!inside || sound.codec !== "opus" || !sound.data.length) continue;
      this.#soundedUntil = sound.at + sound.duration_ms / 2;
      const packet = new EncodedPacket(sound.data, "key", (sound.at - from_ms) / 1000, sound.duration_ms / 1000);
      await this.#sounds!.add(packet, {
        decoderConfig: { codec: "opus", sampleRate: 48_000, numberOfChannels: sound.channels, description: opusHead(sound) },
      });
    }
  }

  async finish(): Promise<Blob> {
    await this.#output.finalize();
    return new Blob([this.#output.target.buffer!], { type: "video/webm" });
  }

  async cancel(): Promise<void> {
    if (this.#output.state === "started") await this.#output.cancel();
  }
}

/** RFC 7845, 5.1. */
function opusHead({ channels, sampleRate }: Sound): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(19);
  head.set(new TextEncoder().encode("OpusHead"));
  const view = new DataView(head.buffer);
  view.setUint8(8, 1);
  view.setUint8(9, channels);
  view.setUint16(10, 312, true);
  view.setUint32(12, sampleRate, true);
  return head;
}
