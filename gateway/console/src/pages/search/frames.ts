/**
 * Pictures of moments on a display, a few at a time, so that typing is answered first.
 * Never keeps a picture that nobody shows.
 */

import { request, withQuery } from "../../api/client";
import type { Box } from "./answer";
import type { Size } from "./Boxed";

const AT_ONCE = 2;

export interface Wish {
  readonly agentId: string;
  readonly display: number;
  readonly atMs: number;
  /** Of the picture, in pixels; 0: as it is. */
  readonly width: number;
  /** What is marked on it, in pixels of the display. */
  readonly boxes: readonly Box[];
}

export interface Picture {
  /** To be revoked by whoever shows it. */
  readonly url: string;
  /** Of the whole display. */
  readonly size: Size | undefined;
  readonly boxes: readonly Box[];
  readonly atMs: number;
}

let busy = 0;
const waiting: (() => void)[] = [];

/** The picture; throws `ApiError`, and what `signal` aborts with. */
export async function loadFrame(wish: () => Promise<Wish>, signal: AbortSignal): Promise<Picture> {
  await turn(signal);
  try {
    return await fetchFrame(await wish(), signal);
  } finally {
    busy -= 1;
    waiting.shift()?.();
  }
}

async function fetchFrame(wish: Wish, signal: AbortSignal): Promise<Picture> {
  const query = { agent: wish.agentId, display: String(wish.display), at_ms: wish.atMs, width: String(wish.width) };
  const response = await request(withQuery("/recordings/frame", query), { signal });
  const size = parseSize(response.headers.get("X-Frame-Size"));
  return { url: URL.createObjectURL(await response.blob()), size, boxes: wish.boxes, atMs: wish.atMs };
}

/** Wait until there are fewer than `AT_ONCE` under way. */
async function turn(signal: AbortSignal): Promise<void> {
  while (busy >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  if (signal.aborted) {
    waiting.shift()?.();
    signal.throwIfAborted();
  }
  busy += 1;
}

/** Such as `1920x1080`. */
export function parseSize(text: string | null): Size | undefined {
  const found = /^(\d{1,5})x(\d{1,5})$/.exec(text ?? "");
  return found ? { width: Number(found[1]), height: Number(found[2]) } : undefined;
}
