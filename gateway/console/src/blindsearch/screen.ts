/**
 * What stood on a sealed display at a moment, drawn in the page from its envelopes.
 * Never hands out pixels that outlive the unlock: the canvas is the session's, and emptied with it.
 */

import { PartJoiner } from "../unlock/chain";
import type { Canvas, Frame } from "../unlock/canvas";
import { peek } from "../unlock/envelope";
import { LockedError, UnlockError } from "../unlock/errors";
import type { Bytes } from "../unlock/bytes";
import type { UnlockSession } from "../unlock/session";
import { CONTENT_TYPES } from "../unlock/streams";

/**
 * The display as its frames until `atMs` tell it, and when the last of them was seen; `undefined` when none can be drawn.
 * Throws `LockedError`, and what `envelopes` throws.
 */
export async function drawScreen(
  session: UnlockSession, envelopes: AsyncIterable<Bytes>, display: number, atMs: number,
): Promise<{ canvas: Canvas; timeMs: number } | undefined> {
  const canvas = session.createCanvas();
  const joiners = new PartJoiner();
  let timeMs: number | undefined;
  for await (const envelope of envelopes) {
    const frames = await framesOf(session, joiners, envelope);
    for (const frame of frames) {
      const seenMs = frame.time_us / 1000;
      if (frame.display !== display || seenMs > atMs + 1 || !canvas.takes(frame)) continue;
      await canvas.draw(frame);
      timeMs = seenMs;
    }
  }
  if (timeMs === undefined) {
    canvas.close();
    return undefined;
  }
  return { canvas, timeMs };
}

/** The frames that an envelope completes; none for what does not open with these keys. */
async function framesOf(session: UnlockSession, joiner: PartJoiner, envelope: Bytes): Promise<readonly Frame[]> {
  try {
    if (!session.canOpen(peek(envelope).epoch)) return [];
    const whole = joiner.add(await session.open(envelope));
    if (whole?.record.contentType !== CONTENT_TYPES.segment || whole.record.stream !== "screen") return [];
    session.track(whole.plaintext);
    return session.decode(whole) as unknown as readonly Frame[];
  } catch (error) {
    if (error instanceof UnlockError && !(error instanceof LockedError)) return [];
    throw error;
  }
}
