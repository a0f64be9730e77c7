/** What opens sealed segments for the player: keys in the page and what a server released give the same. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import type { Head, Message } from "../src/player/messages";
import { PieceReader } from "../src/player/pieces";
import { ReleasedSource } from "../src/player/released";
import { KeySource, type OpenedSource, type Outcome } from "../src/player/source";
import { Tape } from "../src/player/tape";
import { fromHex, toHex, utf8, type Bytes } from "../src/unlock/bytes";
import { PartJoiner } from "../src/unlock/chain";
import type { Released } from "../src/unlock/channel";
import { peek } from "../src/unlock/envelope";
import { LockedError, MalformedError } from "../src/unlock/errors";
import { UnlockSession } from "../src/unlock/session";
import { failureOf, withoutBytes } from "./material";

const key = material.keys.find((one) => one.name === "one round")!;
const envelopes = material.journey.envelopes.map(fromHex);

async function unlocked(): Promise<UnlockSession> {
  const session = new UnlockSession();
  await session.addKey(key.pem, utf8(key.passphrase));
  return session;
}

const uuid = (bytes: Bytes) => toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");

/** What the server's opener gives out of the same envelopes, as `gateway/unlock/opener.py` describes it. */
async function release(): Promise<Released[]> {
  const session = await unlocked();
  const joiner = new PartJoiner();
  const released: Released[] = [];
  for (const envelope of envelopes) {
    const whole = joiner.add(await session.open(envelope));
    if (!whole) continue;
    const { epoch, record } = whole;
    const about = {
      agent: uuid(epoch.agentId), stream: record.stream, epoch: toHex(epoch.epochId), sequence: record.sequence,
      capture_ms: record.captureMs, content_type: record.contentType, end_to_end: true,
    };
    released.push({ about, plaintext: whole.plaintext.slice() });
  }
  return released;
}

async function releasedSource(without = -1): Promise<ReleasedSource> {
  const source = new ReleasedSource();
  (await release()).forEach((one, number) => number !== without && source.add(one));
  return source;
}

async function outcomes(source: OpenedSource): Promise<Outcome[]> {
  const reader = source.reader();
  const told: Outcome[] = [];
  for (const envelope of envelopes) told.push(await reader.read(envelope));
  return told;
}

const eventsOf = (told: Outcome[]) => told.flatMap((one) => (typeof one === "string" ? [] : [withoutBytes(one.events)]));
const wordsOf = (told: Outcome[]) => told.map((one) => (typeof one === "string" ? one : one.kind));

function messageOf(envelope: Bytes, change: Partial<Head> = {}): Message {
  const { epoch, record } = peek(envelope);
  const head = {
    agent: uuid(epoch.agentId), stream: record.stream, epoch: toHex(epoch.epochId), sequence: record.sequence,
    capture_ms: record.captureMs, content_type: record.contentType, end_to_end: true, sealed: true, before: false, composed: false,
  };
  return { head: { ...head, ...change }, body: envelope };
}

describe("a source of what was opened", () => {
  it.each([
    ["keys in the page", async () => new KeySource(await unlocked())],
    ["a server", releasedSource],
  ] as const)("gives every segment once, parts and read texts included, from %s", async (_, make) => {
    const source = await make();
    const told = await outcomes(source);
    expect(eventsOf(told)).toEqual(material.journey.segments);
    expect(told.filter((one) => one === "sealed")).toEqual([]);
    expect(told.filter((one) => one === "part").length).toBeGreaterThan(1);
    expect(wordsOf(told).filter((one) => one === "text")).toHaveLength(1);
    expect(eventsOf(await outcomes(source))).toEqual(material.journey.segments);
  });

  it("says what was not opened, all parts of it", async () => {
    const parts = envelopes.filter((one) => peek(one).record.moreParts).length + 1;
    const told = await outcomes(await releasedSource(2));
    expect(told.filter((one) => one === "sealed")).toHaveLength(parts);
    expect(told.filter((one) => one === "part")).toHaveLength(0);
    const other = new UnlockSession();
    await other.addKey(material.otherKey.pem, utf8(material.otherKey.passphrase));
    expect(new Set(wordsOf(await outcomes(new KeySource(other))))).toEqual(new Set(["sealed"]));
  });

  it.each([
    ["keys in the page", async () => new KeySource(await unlocked())],
    ["a server", releasedSource],
  ] as const)("ends with the lock, wherever it came from: %s", async (_, make) => {
    const source = await make();
    const reader = source.reader();
    await reader.read(envelopes[0]!);
    const canvas = source.createCanvas();
    source.lock();
    expect(source.locked).toBe(true);
    if (source instanceof ReleasedSource) expect(await failureOf(reader.read(envelopes[1]!))).toBeInstanceOf(LockedError);
    else expect(await reader.read(envelopes[1]!)).toBe("sealed");
    expect(() => source.createCanvas()).toThrow(LockedError);
    expect(canvas.rgba).toHaveLength(0);
  });

  it("overwrites what a server released when it is locked", async () => {
    const released = await release();
    const source = new ReleasedSource();
    for (const one of released) source.add(one);
    expect(source.segments).toBe(released.length);
    source.lock();
    expect(released.every(({ plaintext }) => plaintext.every((byte) => byte === 0))).toBe(true);
    expect(source.segments).toBe(0);
    expect(() => source.add(released[0]!)).toThrow(LockedError);
  });

  it("takes no more than it may hold, and nothing that does not say where it stood or is another segment", async () => {
    const [first] = await release();
    expect(() => new ReleasedSource(first!.plaintext.length - 1).add(first!)).toThrow(MalformedError);
    expect(() => new ReleasedSource().add({ about: { ...first!.about, epoch: 7 }, plaintext: utf8("x") })).toThrow(MalformedError);
    const swapped = new ReleasedSource();
    swapped.add({ about: { ...first!.about, stream: "keystrokes" }, plaintext: first!.plaintext });
    expect(await failureOf(swapped.reader().read(envelopes[0]!))).toBeInstanceOf(MalformedError);
  });
});

describe("pieces of messages", () => {
  it("come from what was opened, and say of the rest that it is sealed", async () => {
    const met: string[] = [];
    const reader = new PieceReader(await releasedSource(0), ({ epoch }) => met.push(toHex(epoch.epochId)));
    const pieces = [];
    for (const envelope of envelopes) pieces.push(await reader.read(messageOf(envelope)));
    expect(pieces.filter((one) => one).map((one) => withoutBytes(one!.events))).toEqual(material.journey.segments.slice(1));
    expect([...reader.sealed]).toEqual([["email", 1]]);
    expect(met).toHaveLength(envelopes.length);
    expect(await reader.read(messageOf(envelopes[1]!, { stream: "screen" }))).toBeUndefined();
    expect(reader.damaged).toBe(1);
  });

  it("let no picture stand for what came after it and stayed sealed", async () => {
    const tape = new Tape({ from_ms: 0, until_ms: 10_000 });
    const frame = { time_us: 1_000_000, display: 0, width: 8, height: 8, key_frame: true, tiles: [], pixels: utf8(""), application: "", title: "" };
    const { head } = messageOf(envelopes[0]!, { agent: "a", stream: "screen", sealed: false });
    tape.add({ head, kind: "screen", events: [frame] as never, bytes: 1 });
    expect([tape.shotAt("a/0", 999), tape.shotAt("a/0", 6000), tape.shotAt("b/0", 6000)]).toEqual([undefined, 1000, undefined]);
    tape.sealedScreens = new Map([["a", [500, 5000]]]);
    expect([tape.shotAt("a/0", 4999), tape.shotAt("a/0", 5000)]).toEqual([1000, undefined]);
  });
});
