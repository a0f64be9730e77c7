/** The player's windows: what is loaded, what is dropped, what is aborted; and the messages they come from. */

import { describe, expect, it } from "vitest";
import type { Stretch } from "../src/player/answers";
import { readMessages, type Ending, type Message } from "../src/player/messages";
import { Windows } from "../src/player/windows";
import { concat, utf8 } from "../src/unlock/bytes";
import { MalformedError } from "../src/unlock/errors";
import { failureOf } from "./material";

interface Load {
  stretch: Stretch;
  signal: AbortSignal;
  end: () => void;
  fail: (error: Error) => void;
}

function make(maxBytes = 1000, limits: Stretch = { from_ms: 0, until_ms: 1_000_000 }) {
  const loads: Load[] = [];
  const windows = new Windows<{ bytes: number }>({
    create: () => ({ bytes: 100 }),
    load: (_, stretch, signal) => new Promise((resolve, reject) => loads.push({ stretch, signal, end: resolve, fail: reject })),
    bytes: (value) => value.bytes,
    changed: () => {},
    limits: () => limits,
    lead_ms: 0,
    maxBytes,
  });
  const settle = async (load: Load) => {
    load.end();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { windows, loads, settle };
}

describe("windows", () => {
  it("load from the whole second of a seek, once", () => {
    const { windows, loads } = make();
    windows.want(12_345, 60_000, 0);
    windows.want(13_000, 60_000, 0);
    expect(loads.map((load) => load.stretch)).toEqual([{ from_ms: 12_000, until_ms: 72_000 }]);
    expect(windows.at(12_345)?.state).toBe("loading");
  });

  it("load ahead one after the other, without holes", async () => {
    const { windows, loads, settle } = make();
    windows.want(500, 60_000, 90_000);
    expect(loads).toHaveLength(1);
    await settle(loads[0]!);
    windows.want(500, 60_000, 90_000);
    expect(loads[1]!.stretch).toEqual({ from_ms: 60_000, until_ms: 120_000 });
    await settle(loads[1]!);
    windows.want(500, 60_000, 90_000);
    expect(loads).toHaveLength(2);
  });

  it("abort what a seek leaves behind, and end where the next one begins", async () => {
    const { windows, loads, settle } = make();
    windows.want(300_000, 60_000, 0);
    await settle(loads[0]!);
    windows.want(100_000, 60_000, 0);
    windows.want(280_000, 60_000, 0);
    expect(loads[1]!.signal.aborted).toBe(true);
    expect(loads[2]!.stretch).toEqual({ from_ms: 280_000, until_ms: 300_000 });
  });

  it("drop what was used longest ago, never what is wanted", async () => {
    const { windows, loads, settle } = make(250);
    for (const at of [0, 100_000, 200_000, 300_000]) {
      windows.want(at, 1000, 0);
      await settle(loads.at(-1)!);
    }
    windows.want(300_000, 1000, 0);
    expect(windows.all.map((one) => one.from_ms)).toEqual([200_000, 300_000]);
  });

  it("keep a failure until it is tried again", async () => {
    const { windows, loads } = make();
    windows.want(0, 1000, 0);
    loads[0]!.fail(new Error("away"));
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
    windows.want(0, 1000, 0);
    expect(loads).toHaveLength(1);
    expect(windows.at(0)?.state).toBe("failed");
    windows.retry();
    windows.want(0, 1000, 0);
    expect(loads).toHaveLength(2);
  });

  it("load what is before, and nothing beyond the limits", async () => {
    const { windows, loads, settle } = make(1000, { from_ms: 95_000, until_ms: 130_000 });
    windows.want(100_000, 60_000, 0);
    expect(loads[0]!.stretch).toEqual({ from_ms: 100_000, until_ms: 130_000 });
    await settle(loads[0]!);
    windows.wantBefore(100_000, 30_000);
    expect(loads[1]!.stretch).toEqual({ from_ms: 95_000, until_ms: 100_000 });
    windows.want(100_500, 60_000, 0);
    expect(loads[1]!.signal.aborted).toBe(false);
    windows.want(130_000, 60_000, 0);
    expect(loads).toHaveLength(2);
  });
});

const number = (value: number) => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
};
const message = (json: unknown, body = new Uint8Array()) => {
  const head = utf8(JSON.stringify(json));
  const content = concat(number(head.length), head, body);
  return concat(number(content.length), content);
};

function streamOf(bytes: Uint8Array, piece: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += piece) controller.enqueue(bytes.slice(at, at + piece));
      controller.close();
    },
  });
}

async function readAll(bytes: Uint8Array, piece: number): Promise<{ messages: Message[]; ending: Ending }> {
  const reading = readMessages(streamOf(bytes, piece));
  const messages: Message[] = [];
  for (;;) {
    const { value, done } = await reading.next();
    if (done) return { messages, ending: value };
    messages.push(value);
  }
}

describe("messages", () => {
  const whole = concat(
    message({ agent: "a", stream: "screen", sequence: 1 }, Uint8Array.of(1, 2, 3)),
    message({ agent: "a", stream: "email", sequence: 2 }),
    message({ end: true, segments: 2 }),
  );

  for (const piece of [1, 7, 1000]) {
    it(`are read in pieces of ${piece}`, async () => {
      const { messages, ending } = await readAll(whole, piece);
      expect(messages.map(({ head, body }) => [head.sequence, body.length])).toEqual([[1, 3], [2, 0]]);
      expect(ending.segments).toBe(2);
    });
  }

  it("that end without the last one were cut", async () => {
    const cut = whole.subarray(0, whole.length - message({ end: true, segments: 2 }).length);
    for (const bytes of [cut, whole.subarray(0, 30), new Uint8Array()]) {
      expect(await failureOf(readAll(bytes, 1000))).toBeInstanceOf(MalformedError);
    }
  });

  it("with a head that is none are refused", async () => {
    for (const content of [concat(number(1), Uint8Array.of(0x7b)), concat(number(99), Uint8Array.of(1)), Uint8Array.of(1)]) {
      expect(await failureOf(readAll(concat(number(content.length), content), 1000))).toBeInstanceOf(MalformedError);
    }
  });
});
