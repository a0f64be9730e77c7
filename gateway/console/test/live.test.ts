/** Live viewing: messages are read, sound is put into its order, and a picture waits for what it can be drawn on. */

import { describe, expect, it } from "vitest";
import { conceal, JitterBuffer, level, WAIT_MS } from "../src/live/jitter";
import { Offset, readMessage, type Packet } from "../src/live/message";
import { Identity } from "../src/unlock/identity";
import { concat, sha256, toHex, utf8 } from "../src/unlock/bytes";
import { OpenError } from "../src/unlock/errors";
import { failureOf } from "./material";

const packet = (sequence: number, data = 1): Packet => ({ sequence, timeMs: 1000 + 20 * sequence, data: new Uint8Array(data) });
const buffer = (...parts: Uint8Array<ArrayBuffer>[]) => concat(...parts).slice().buffer;

describe("messages", () => {
  it("are read by their first byte", () => {
    const status = buffer(Uint8Array.of(1), utf8('{"kind":"behind"}'));
    expect(readMessage(status)).toEqual({ kind: "status", status: { kind: "behind" } });
    expect(readMessage(buffer(Uint8Array.of(2, 7, 8)))).toEqual({ kind: "envelope", envelope: Uint8Array.of(7, 8) });
    const sound = buffer(Uint8Array.of(3, 0, 1, 0, 0, 0, 2, 1, 0x98, 0, 0, 0, 5, 9));
    expect(readMessage(sound)).toEqual({
      kind: "sound",
      packet: { sequence: 2 ** 32 + 2, timeMs: 0x198 * 2 ** 32 + 5, data: Uint8Array.of(9) },
    });
  });

  it("that are of no kind, cut, or no object are refused", () => {
    for (const wrong of [[], [4], [3, 1, 2], [1, 0x31], [1, 0x6e], [1, 0x7b]]) {
      expect(() => readMessage(Uint8Array.from(wrong).buffer)).toThrow();
    }
  });
});

describe("offset", () => {
  it("is that of the quickest exchange", () => {
    const offset = new Offset();
    expect(offset.ms).toBe(0);
    offset.add(1000, 1400, 6000);
    offset.add(2000, 2010, 7005);
    offset.add(3000, 3900, 8000);
    expect(offset.ms).toBe(5000);
  });
});

describe("jitter", () => {
  const kinds = (jitter: JitterBuffer, at: number) =>
    jitter.take(at).map((turn) => (turn.kind === "packet" ? turn.packet.sequence : turn.kind === "lost" ? `lost ${turn.count}` : "quiet"));

  it("puts packets into their order", () => {
    const jitter = new JitterBuffer();
    for (const sequence of [5, 7, 6]) jitter.add(packet(sequence));
    expect(kinds(jitter, 0)).toEqual([5, 6, 7]);
    jitter.add(packet(8, 0));
    expect(kinds(jitter, 0)).toEqual(["quiet"]);
  });

  it("waits a moment for what was overtaken, and then goes on", () => {
    const jitter = new JitterBuffer();
    jitter.add(packet(0));
    jitter.add(packet(3));
    expect(kinds(jitter, 0)).toEqual([0]);
    expect(kinds(jitter, WAIT_MS - 1)).toEqual([]);
    expect(kinds(jitter, WAIT_MS)).toEqual(["lost 2", 3]);
    expect(jitter.lost).toBe(2);
  });

  it("passes over what comes too late or twice", () => {
    const jitter = new JitterBuffer();
    for (const sequence of [10, 11, 9, 11]) jitter.add(packet(sequence));
    expect(kinds(jitter, 0)).toEqual([10, 11]);
    jitter.add(packet(11));
    expect(kinds(jitter, 0)).toEqual([]);
    expect(jitter.late).toBe(2);
  });

  it("makes up for a lost packet with the last one, softer each time", () => {
    const last = new Float32Array(4).fill(0.5);
    const [once, twice] = [conceal(last, 0), conceal(last, 1)];
    expect(once[0]).toBe(0.5);
    expect(twice[0]).toBeLessThan(once[3]!);
    expect(last[0]).toBe(0.5);
  });

  it("tells how loud samples are", () => {
    expect(level(new Float32Array(100))).toBe(0);
    expect(level(new Float32Array(100).fill(1))).toBe(1);
    expect(level(new Float32Array(100).fill(0.1))).toBeCloseTo(2 / 3);
  });
});

describe("a key of the page", () => {
  it("unwraps what was wrapped to its public half, by its key id, and nothing else", async () => {
    const { identity, publicKey } = await Identity.generate();
    expect(toHex(identity.keyId)).toBe(toHex(await sha256(publicKey)));
    const spki = await crypto.subtle.importKey("spki", publicKey, { name: "RSA-OAEP", hash: "SHA-256" }, true, ["encrypt"]);
    const dek = crypto.getRandomValues(new Uint8Array(32));
    const wrapped = new Uint8Array(await crypto.subtle.encrypt({ name: "RSA-OAEP" }, spki, dek));
    expect(toHex(await identity.unwrap(wrapped))).toBe(toHex(dek));
    expect(await failureOf(identity.unwrap(wrapped.map((byte) => byte ^ 1)))).toBeInstanceOf(OpenError);
  }, 30_000); // making a key takes its time where others compute too
});
