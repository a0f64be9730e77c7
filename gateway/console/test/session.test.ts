/** A session: what an agent sealed for a person's KEK is read with the passphrase, and gone when it is locked. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { fromHex, toHex, utf8 } from "../src/unlock/bytes";
import { Chain, PartJoiner } from "../src/unlock/chain";
import { nextHash, nextLink, peek } from "../src/unlock/envelope";
import { KeyFileError, LockedError, OpenError } from "../src/unlock/errors";
import { UnlockSession } from "../src/unlock/session";
import { failureOf, withoutBytes } from "./material";

const envelopes = material.journey.envelopes.map(fromHex);
const key = material.keys.find((one) => one.name === "one round")!;

async function unlocked(idleMs = 0): Promise<UnlockSession> {
  const session = new UnlockSession(idleMs);
  await session.addKey(key.pem, utf8(key.passphrase));
  return session;
}

describe("session", () => {
  it("reads what was sealed end to end, parts, padding and epochs included", async () => {
    const session = await unlocked();
    expect(session.keyIds).toEqual([key.keyId]);
    const joiner = new PartJoiner();
    const read: unknown[] = [];
    for (const envelope of envelopes) {
      const whole = joiner.add(await session.open(envelope));
      if (whole) read.push(withoutBytes(session.decode(whole)));
    }
    expect(read).toEqual(material.journey.segments);
  });

  it("sees an unbroken chain over both epochs", async () => {
    const seen = envelopes.map(peek);
    const first = seen[0]!.epoch;
    const chains = new Map(seen.map(({ epoch }) => [toHex(epoch.epochId), new Chain()]));
    for (const record of seen) await chains.get(toHex(record.epoch.epochId))!.check(record);
    expect(chains.size).toBe(2);
    const last = seen.findLast(({ epoch }) => toHex(epoch.epochId) === toHex(first.epochId))!;
    expect(last.record.final).toBe(true);
    const hash = await nextHash(last.record.previousHash, last.record.bytes, last.tag);
    expect(toHex(seen.at(-1)!.epoch.link)).toBe(toHex(await nextLink(first.core, hash)));
  });

  it("opens nothing with a passphrase that is wrong, and can be asked again", async () => {
    const session = new UnlockSession();
    const error = await failureOf(session.addKey(key.pem, utf8("wrong")));
    expect((error as KeyFileError).reason).toBe("wrong_passphrase");
    expect(await failureOf(session.open(envelopes[0]!))).toBeInstanceOf(OpenError);
    expect(session.canOpen(peek(envelopes[0]!).epoch)).toBe(false);
    await session.addKey(key.pem, utf8(key.passphrase));
    expect(session.canOpen(peek(envelopes[0]!).epoch)).toBe(true);
    await session.open(envelopes[0]!);
  });

  it("overwrites what it handed out, and opens nothing again, once it is locked", async () => {
    const session = await unlocked();
    const opened = await session.open(envelopes[0]!);
    const padded = await session.open(envelopes[1]!);
    const whole = new Uint8Array(padded.plaintext.buffer);
    const derived = session.track(Uint8Array.of(1, 2, 3));
    expect(opened.plaintext.some((byte) => byte !== 0)).toBe(true);
    session.lock();
    session.lock();
    for (const bytes of [opened.plaintext, whole, derived]) expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(session.locked).toBe(true);
    expect(session.keyIds).toEqual([]);
    expect(await failureOf(session.open(envelopes[0]!))).toBeInstanceOf(LockedError);
    expect(await failureOf(session.addKey(key.pem, utf8(key.passphrase)))).toBeInstanceOf(LockedError);
    expect(() => session.decode(opened)).toThrow(LockedError);
    expect(() => session.createCanvas()).toThrow(LockedError);
  });

  it("closes its canvases when it is locked", async () => {
    const session = await unlocked();
    const canvas = session.createCanvas();
    session.lock();
    const frame = { key_frame: true, width: 1, height: 1, display: 0, tiles: [], pixels: new Uint8Array() };
    await failureOf(canvas.draw({ ...frame, time_us: 0, application: "", title: "" }));
    expect(canvas.rgba).toHaveLength(0);
  });

  it("hands out nothing that was being opened while it was locked", async () => {
    const session = await unlocked();
    const opening = failureOf(session.open(envelopes[0]!));
    const adding = failureOf(session.addKey(key.pem, utf8(key.passphrase)));
    session.lock();
    expect(await opening).toBeInstanceOf(LockedError);
    expect(await adding).toBeInstanceOf(LockedError);
  });

  it("locks itself when it is not used", async () => {
    const session = await unlocked(30);
    while (!session.locked) await new Promise((resume) => setTimeout(resume, 5));
    expect(await failureOf(session.open(envelopes[0]!))).toBeInstanceOf(LockedError);
  });
});
