/**
 * Windows of a recording from the server: what it may open comes opened, the rest is what somebody unlocked.
 * Never shows what was opened in an unlock that is locked meanwhile.
 */

import { request, withQuery } from "../../api/client";
import type { Stretch } from "../../player/answers";
import { readMessages } from "../../player/messages";
import { Notes } from "../../player/notes";
import { PieceReader, type Piece } from "../../player/pieces";
import { Slicer } from "../../unlock/slices";
import { Tape } from "../../player/tape";
import { unlockPurpose, unlockSource } from "../../unlocking/current";
import { noteSealed } from "../../unlocking/needed";
import { LockedError } from "../../unlock/errors";

/** Segments are found by their first event: one that began so long before may hold what belongs to the stretch. */
const SEGMENT_MS = 2000;

interface Filled {
  add: (piece: Piece) => void;
  finish: () => void;
  sealed: ReadonlyMap<string, number>;
  sealedScreens?: ReadonlyMap<string, readonly number[]>;
  damaged: number;
}

export interface Asked {
  readonly agents: readonly string[];
  readonly streams: readonly string[];
  /** Terminal sessions from their beginning. */
  readonly terminalStart?: boolean;
  readonly purpose?: string;
}

/** Fill `into` with everything of the stretch; `grew` is called with each segment. */
export async function loadInto(into: Filled, asked: Asked, stretch: Stretch, signal: AbortSignal, grew: () => void = () => {}): Promise<void> {
  if (!asked.agents.length || !asked.streams.length) return;
  const source = unlockSource.value;
  const query = {
    agent: asked.agents,
    stream: asked.streams,
    since_ms: Math.max(0, Math.floor(stretch.from_ms) - SEGMENT_MS),
    until_ms: Math.ceil(stretch.until_ms),
    terminal_start: asked.terminalStart ?? false,
    purpose: asked.purpose || unlockPurpose.value,
  };
  const response = await request(withQuery("/recordings/segments", query), { signal });
  const reader = new PieceReader(source, ({ epoch, record }) => noteSealed(epoch, record.stream));
  const slicer = new Slicer();
  const messages = readMessages(response.body!);
  for (;;) {
    const { value, done } = await messages.next();
    signal.throwIfAborted();
    if (done) {
      into.damaged = reader.damaged + (value.damaged || 0);
      break;
    }
    const piece = await reader.read(value);
    signal.throwIfAborted();
    if (source?.locked) throw new LockedError();
    if (piece) into.add(piece);
    into.sealed = reader.sealed;
    into.sealedScreens = reader.sealedScreens;
    grew();
    await slicer.pause();
  }
  into.finish();
}

export async function loadTape(asked: Asked, stretch: Stretch, signal: AbortSignal): Promise<Tape> {
  const tape = new Tape(stretch);
  await loadInto(tape, asked, stretch, signal);
  return tape;
}

export async function loadNotes(asked: Asked, stretch: Stretch, signal: AbortSignal): Promise<Notes> {
  const notes = new Notes(stretch);
  await loadInto(notes, { ...asked, terminalStart: true }, stretch, signal);
  return notes;
}
