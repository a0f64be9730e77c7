/** Terminal sessions replayed to any moment, what was typed, and pictures drawn to any moment. */

import { describe, expect, it } from "vitest";
import { joinTyped, readTyped } from "../src/player/keys";
import { Notes, sessionsAt, type TerminalEvent } from "../src/player/notes";
import { Painter } from "../src/player/painter";
import { lastShot, Tape, type Shot } from "../src/player/tape";
import { TerminalReplay, textOf } from "../src/player/terminal";
import { Canvas, type Frame } from "../src/unlock/canvas";
import { utf8 } from "../src/unlock/bytes";
import type { Head } from "../src/player/messages";

const event = (time_ms: number, kind: TerminalEvent["kind"], data = "", more: Partial<TerminalEvent> = {}): TerminalEvent => ({
  time_us: time_ms * 1000, session: "s", kind, data: utf8(data), masked: false, columns: 20, rows: 4, exit_code: null,
  title: "", alternate: false, ...more,
});

const SESSION = [
  event(0, "start", "bash"),
  event(10, "output", "$ ls\r\n"),
  event(20, "output", "\x1b[31mred\x1b[0m \x1b[1;38;5;196mbold\x1b[0m \x1b[7minverse\x1b[0m\r\n"),
  event(30, "resize", "", { columns: 30, rows: 5 }),
  event(40, "output", "\x1b]0;a title\x07wide 会議 end\r\n"),
  event(50, "output", "\x1b[?1049hfull screen"),
  event(60, "output", "\x1b[?1049l"),
  event(70, "end", "", { exit_code: 3, columns: 30, rows: 5 }),
];

describe("terminal", () => {
  it("shows what stood there at each moment, forth and back", async () => {
    const replay = new TerminalReplay(SESSION);
    const textAt = async (at: number) => {
      await replay.show(at);
      return replay.picture().lines.map(textOf).filter(Boolean);
    };
    expect(await textAt(10)).toEqual(["$ ls"]);
    const late = await textAt(45);
    expect(late).toEqual(["$ ls", "red bold inverse", "wide 会議 end"]);
    expect(await textAt(50)).toEqual(["full screen"]);
    expect(await textAt(65)).toEqual(late);
    expect(await textAt(15)).toEqual(["$ ls"]);
    expect(replay.picture()).toMatchObject({ columns: 20, rows: 4, title: "", exitCode: undefined });
    await replay.show(100);
    expect(replay.picture()).toMatchObject({ columns: 30, rows: 5, title: "a title", exitCode: 3 });
    replay.dispose();
  });

  it("keeps colours and looks as values, not as markup", async () => {
    const replay = new TerminalReplay(SESSION);
    await replay.show(20);
    const runs = replay.picture().lines[1]!;
    expect(runs.map(({ text, colour, ground, look }) => [text, colour, ground, look])).toEqual([
      ["red", 1, undefined, ""],
      [" ", undefined, undefined, ""],
      ["bold", "#ff0000", undefined, "bold"],
      [" ", undefined, undefined, ""],
      ["inverse", "ground", "text", ""],
    ]);
    replay.dispose();
  });

  it("begins in the middle of a session as its start says", async () => {
    const replay = new TerminalReplay([event(0, "start", "vim", { alternate: true, title: "vim" }), event(5, "output", "x")]);
    await replay.show(5);
    expect(replay.picture().title).toBe("vim");
    expect(textOf(replay.picture().lines[0]!)).toBe("x");
    replay.dispose();
  });

  it("takes calls one after the other, and large output in pieces", async () => {
    const many = Array.from({ length: 400 }, (_, i) => event(i, "output", `${"line ".repeat(100)}${i}\r\n`));
    const replay = new TerminalReplay([event(0, "start"), ...many]);
    await Promise.all([replay.show(399), replay.show(10), replay.show(399)]);
    expect(replay.picture().lines.map(textOf).join("")).toContain("399");
    replay.dispose();
  });
});

describe("typed", () => {
  const read = (text: string) => readTyped(0, utf8(text), false).map(({ text: one, kind }) => [one, kind]);

  it("reads as text and keys", () => {
    expect(read("ls -la\r")).toEqual([["ls -la", "text"], ["⏎", "key"]]);
    expect(read("\x1b[A\x03é会")).toEqual([["↑", "key"], ["^C", "key"], ["é会", "text"]]);
    expect(read("\x1b[200~pasted\x1b[201~")).toEqual([["paste", "key"], ["pasted", "text"]]);
    expect(read("\x1b[1;5D")).toEqual([["key", "key"]]);
  });

  it("says of masked input that there was some, once", () => {
    const masked = [...readTyped(0, new Uint8Array(), true), ...readTyped(1, new Uint8Array(), true)];
    expect(joinTyped(masked)).toHaveLength(1);
    expect(joinTyped([...readTyped(0, utf8("a"), false), ...readTyped(1, utf8("b"), false)])[0]!.text).toBe("ab");
  });
});

const head = (sequence: number): Head => ({
  agent: "a", stream: "keystrokes", epoch: "e", sequence, capture_ms: 0, content_type: 1, end_to_end: false, sealed: false,
  before: false, composed: false,
});

describe("notes", () => {
  it("take each segment once, and know the sessions of a moment", () => {
    const notes = new Notes({ from_ms: 0, until_ms: 1000 });
    const piece = { head: head(1), kind: "keystrokes" as const, events: SESSION as unknown as never[], bytes: 10 };
    notes.add(piece);
    notes.add(piece);
    notes.add({ ...piece, head: head(2), events: [event(500, "start", "", { session: "t" })] as unknown as never[] });
    notes.finish();
    expect(notes.sessions.get("s")).toHaveLength(SESSION.length);
    expect(sessionsAt(notes, 100).map((one) => one.id)).toEqual(["s"]);
    expect(sessionsAt(notes, 600).map((one) => one.id)).toEqual(["t", "s"]);
  });
});

/** A frame of one pixel, as a raw zstd block tells it. */
const pixel = (time_ms: number, key_frame: boolean, grey: number): Frame => ({
  time_us: time_ms * 1000, display: 0, width: 1, height: 1, key_frame, application: "", title: "",
  tiles: [{ x: 0, y: 0, width: 1, height: 1, codec: "raw", data: new Uint8Array() }],
  pixels: Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 25, 0, 0, grey, grey, grey),
});
const shot = (frame: Frame): Shot => ({ at: frame.time_us / 1000, frame });

describe("painter", () => {
  const shots = [pixel(0, true, 1), pixel(10, false, 2), pixel(20, true, 3), pixel(30, false, 4)].map(shot);
  const make = () => new Painter(new Canvas(() => Promise.reject(new Error("no images"))));

  it("draws forward, back, and from the nearest key frame", async () => {
    const painter = make();
    let draws = 0;
    const show = (at: number, of = shots) => painter.show(() => ({ shots: of, at }), () => (draws += 1));
    await show(15);
    expect([painter.canvas.rgba[0], painter.shownAt, draws]).toEqual([2, 10, 2]);
    await show(35);
    expect([painter.canvas.rgba[0], draws]).toEqual([4, 4]);
    await show(10);
    expect([painter.canvas.rgba[0], draws]).toEqual([2, 6]);
    expect(painter.isBehind({ shots, at: 5 })).toBe(true);
    expect(painter.isBehind({ shots, at: 12 })).toBe(false);
  });

  it("goes on in the next window where the one before ended", async () => {
    const painter = make();
    let draws = 0;
    await painter.show(() => ({ shots, at: 40 }), () => (draws += 1));
    const next = [shot(pixel(30, true, 4)), shot(pixel(50, false, 5))];
    await painter.show(() => ({ shots: next, at: 45 }), () => (draws += 1));
    const before = draws;
    await painter.show(() => ({ shots: next, at: 55 }), () => (draws += 1));
    expect([painter.canvas.rgba[0], draws - before]).toEqual([5, 1]);
  });

  it("says that the picture is damaged until a key frame comes", async () => {
    const painter = make();
    const bad = { ...pixel(10, false, 9), pixels: new Uint8Array() };
    const of = [shot(pixel(0, true, 1)), shot(bad), shot(pixel(20, true, 3))];
    await painter.show(() => ({ shots: of, at: 15 }), () => {});
    expect([painter.damaged, painter.canvas.rgba[0]]).toEqual([true, 1]);
    await painter.show(() => ({ shots: of, at: 25 }), () => {});
    expect([painter.damaged, painter.canvas.rgba[0]]).toEqual([false, 3]);
  });
});

describe("tape", () => {
  it("keeps of what came before only what it draws from", () => {
    const tape = new Tape({ from_ms: 25, until_ms: 100 });
    const frames = [pixel(0, true, 1), pixel(10, false, 2), pixel(20, true, 3), pixel(30, false, 4)];
    tape.add({ head: { ...head(1), stream: "screen" }, kind: "screen", events: frames as unknown as never[], bytes: 5 });
    tape.finish();
    const kept = tape.displays.get("a/0")!;
    expect(kept.map((one) => one.at)).toEqual([20, 30]);
    expect([lastShot(kept, 19), lastShot(kept, 20), lastShot(kept, 99)]).toEqual([-1, 0, 1]);
  });
});
