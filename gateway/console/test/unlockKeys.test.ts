/** Several keys in one unlock: which file a passphrase opens, what is needed, and that all of it ends together. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { fromHex, utf8 } from "../src/unlock/bytes";
import { PartJoiner } from "../src/unlock/chain";
import { peek } from "../src/unlock/envelope";
import { LockedError } from "../src/unlock/errors";
import { Identity } from "../src/unlock/identity";
import { UnlockSession } from "../src/unlock/session";
import { KeyRing, MOST_FILES } from "../src/unlocking/keyRing";
import { forgetSealed, neededKeys, noteSealed, sealedEpochs } from "../src/unlocking/needed";
import { failureOf, withoutBytes } from "./material";

const named = (name: string) => material.keys.find((one) => one.name === name)!;
const key = named("one round");
const other = material.otherKey;
const before = material.otherJourney.envelopes.map(fromHex);
const after = material.journey.envelopes.map(fromHex);

function ringOf(...files: [string, string][]): KeyRing {
  const ring = new KeyRing();
  for (const [name, pem] of files) ring.add(name, pem);
  return ring;
}

const openNames = (ring: KeyRing) => ring.files.filter(({ keyId }) => keyId).map(({ name }) => name);

async function read(session: UnlockSession, envelopes: readonly Uint8Array<ArrayBuffer>[]): Promise<unknown[]> {
  const joiner = new PartJoiner();
  const told: unknown[] = [];
  for (const envelope of envelopes) {
    const whole = joiner.add(await session.open(envelope));
    if (whole) told.push(withoutBytes(session.decode(whole)));
  }
  return told;
}

describe("a ring of key files", () => {
  it("tries a passphrase on those that are closed, and says which it does not open", async () => {
    const ring = ringOf(["before.pem", other.pem], ["after.pem", key.pem]);
    const typed = utf8(key.passphrase);
    await ring.open(typed);
    expect(typed.every((byte) => byte === 0)).toBe(true);
    expect(openNames(ring)).toEqual(["after.pem"]);
    const [left] = ring.files;
    expect([left!.name, left!.fault!.reason, left!.hopeful, left!.keyId]).toEqual(["before.pem", "wrong_passphrase", true, undefined]);
    await ring.open(utf8(other.passphrase));
    expect(openNames(ring)).toEqual(["before.pem", "after.pem"]);
    expect(ring.files.map(({ keyId }) => keyId)).toEqual([other.keyId, key.keyId]);
    expect(ring.identities).toHaveLength(2);
  });

  it("opens several files with one passphrase, and takes a KEK of two files once", async () => {
    const ring = ringOf(["one.pem", key.pem], ["two.pem", named("scrypt").pem], ["again.pem", key.pem]);
    await ring.open(utf8(key.passphrase));
    expect(openNames(ring)).toEqual(["one.pem", "two.pem"]);
    expect(ring.identities).toHaveLength(1);
    expect(ring.identities[0]!.warnings).toHaveLength(0);
  });

  it("opens a file without a passphrase whatever was typed for the others", async () => {
    const bare = material.keys.find((one) => one.passphrase === "" && one.keyId)!;
    const ring = ringOf(["bare.pem", bare.pem], ["other.pem", other.pem]);
    await ring.open(utf8(other.passphrase));
    expect(openNames(ring)).toEqual(["bare.pem", "other.pem"]);
    expect(ring.identities[0]!.warnings).toEqual(["no passphrase protects this key"]);
  });

  it("asks for a passphrase where none was typed, and gives up what none can open", async () => {
    const ring = ringOf(["note.txt", "hello"], ["other.pem", other.pem]);
    await ring.open(utf8(""));
    expect(ring.files.map(({ fault, hopeful }) => [fault!.reason, hopeful])).toEqual([["not_a_key", false], ["passphrase_needed", true]]);
    ring.add("key.pem", key.pem);
    expect(ring.files.map(({ name }) => name)).toEqual(["other.pem", "key.pem"]);
    ring.remove(0);
    await ring.open(utf8(key.passphrase));
    expect(openNames(ring)).toEqual(["key.pem"]);
  });

  it("has an end to how many it takes", () => {
    const ring = ringOf(...Array.from({ length: MOST_FILES + 2 }, (_, number): [string, string] => [`${number}.pem`, `${number}`]));
    expect(ring.files).toHaveLength(MOST_FILES);
  });

  it("forgets keys when it is shut, by a person or by time, and files when it is dropped", async () => {
    let end: () => void = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    const ring = new KeyRing(30, end);
    ring.add("key.pem", key.pem);
    await ring.open(utf8(key.passphrase));
    expect(openNames(ring)).toEqual(["key.pem"]);
    await ended;
    expect([openNames(ring), ring.files.length, ring.identities.length]).toEqual([[], 1, 0]);
    ring.drop();
    expect(ring.files).toEqual([]);
  });
});

describe("a session of several keys", () => {
  it("reads what was sealed before and after a rotation", async () => {
    const session = new UnlockSession();
    await session.addKey(other.pem, utf8(other.passphrase));
    await session.addKey(key.pem, utf8(key.passphrase));
    expect(session.keyIds).toEqual([other.keyId, key.keyId]);
    expect(await read(session, before)).toEqual(material.otherJourney.segments);
    expect(await read(session, after)).toEqual(material.journey.segments);
  });

  it("goes on with more keys, and overwrites what it handed out before", async () => {
    const first = new UnlockSession();
    await first.addKey(other.pem, utf8(other.passphrase));
    const handed = await first.open(before[0]!);
    expect(first.canOpen(peek(after[0]!).epoch)).toBe(false);
    const more = await Identity.fromPem(key.pem, utf8(key.passphrase));
    const second = first.extend([more, more]);
    expect(first.locked).toBe(true);
    expect(handed.plaintext.every((byte) => byte === 0)).toBe(true);
    expect(await failureOf(first.open(before[0]!))).toBeInstanceOf(LockedError);
    expect([second.keyIds, second.opened]).toEqual([[other.keyId, key.keyId], 1]);
    expect(await read(second, [...before])).toEqual(material.otherJourney.segments);
    expect(await read(second, [...after])).toEqual(material.journey.segments);
    expect(() => first.extend([more])).toThrow(LockedError);
  });

  it("wipes what every key opened when it is locked", async () => {
    const session = new UnlockSession();
    await session.addKey(other.pem, utf8(other.passphrase));
    await session.addKey(key.pem, utf8(key.passphrase));
    const opened = [await session.open(before[0]!), await session.open(after[0]!)];
    expect(opened.every(({ plaintext }) => plaintext.some((byte) => byte !== 0))).toBe(true);
    session.lock();
    expect(opened.every(({ plaintext }) => plaintext.every((byte) => byte === 0))).toBe(true);
    expect(session.keyIds).toEqual([]);
    for (const envelope of [before[0]!, after[0]!]) expect(session.canOpen(peek(envelope).epoch)).toBe(false);
  });
});

describe("what a page needs", () => {
  const [a, b, c] = ["aa", "bb", "cc"];

  it("is each key of an epoch that no open key opens", () => {
    const epochs = [
      { stream: "email", recipients: [a!, b!] },
      { stream: "screen", recipients: [b!] },
      { stream: "keystrokes", recipients: [b!, c!] },
    ] as const;
    const told = (open: string[]) => neededKeys(epochs, open).map(({ keyId, state, streams }) => [keyId, state, streams.length]);
    expect(told([])).toEqual([[b, "needed", 3], [a, "needed", 1], [c, "needed", 1]]);
    expect(told([a!])).toEqual([[b, "needed", 3], [c, "needed", 1], [a, "open", 1]]);
    expect(told([b!])).toEqual([[b, "open", 3], [a, "spare", 1], [c, "spare", 1]]);
    expect(neededKeys([], [a!])).toEqual([]);
  });

  it("is read from the clear fields of what the page met, until the person goes elsewhere", () => {
    forgetSealed();
    for (const envelope of [...before, ...after]) noteSealed(peek(envelope).epoch, peek(envelope).record.stream);
    expect(sealedEpochs.value.size).toBe(4);
    const states = new Map(neededKeys(sealedEpochs.value.values(), [key.keyId!]).map(({ keyId, state }) => [keyId, state]));
    expect([states.get(key.keyId!), states.get(other.keyId)]).toEqual(["open", "needed"]);
    forgetSealed();
    expect(sealedEpochs.value.size).toBe(0);
  });
});
