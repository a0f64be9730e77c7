/** Segments: what Python wrote is read alike, and what Python refuses is refused for the same reason. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { decodeAvro, parseSchema, resolve } from "../src/unlock/avro";
import { MalformedError } from "../src/unlock/errors";
import { decodeSegment, segmentKind, type SegmentKind } from "../src/unlock/segments";
import { decompressFrame } from "../src/unlock/zstd";
import { bytesOf, withoutBytes } from "./material";

describe("segments", () => {
  it("has some of every stream", () => {
    const kinds = new Set(material.segments.map((one) => one.kind));
    expect([...kinds].sort()).toEqual(
      ["activity", "audio", "email", "gap", "index", "keystrokes", "screen", "text"],
    );
  });

  for (const [number, { name, kind, data, events, reason }] of material.segments.entries()) {
    if (reason === undefined) {
      it(`${number} is read: ${name}`, () => {
        expect(withoutBytes(decodeSegment(kind as SegmentKind, bytesOf(data)))).toEqual(events);
      });
    } else {
      it(`${number} is refused: ${name}`, () => {
        let error: unknown;
        try {
          decodeSegment(kind as SegmentKind, bytesOf(data));
        } catch (caught) {
          error = caught;
        }
        expect(error).toBeInstanceOf(MalformedError);
        expect((error as MalformedError).reason).toBe(reason);
      });
    }
  }

  it("refuses every cut and junk with its own error alone", () => {
    const good = bytesOf(material.segments.find((one) => one.kind === "screen")!.data);
    for (let size = 0; size < good.length; size += 7) {
      expect(() => decodeSegment("screen", good.slice(0, size))).toThrow(MalformedError);
    }
    for (let round = 0; round < 500; round++) {
      const bad = good.slice();
      bad[(round * 7919) % bad.length]! ^= 1 + (round % 255);
      try {
        decodeSegment("screen", bad);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError);
      }
    }
  });

  it("are told by stream and content type", () => {
    const header = { stream: "email" } as Parameters<typeof segmentKind>[0];
    expect(segmentKind({ ...header, contentType: 1 })).toBe("email");
    expect(segmentKind({ ...header, contentType: 2 })).toBe("text");
    expect(() => segmentKind({ ...header, contentType: 3 })).toThrow(MalformedError);
  });
});

describe("avro", () => {
  const schema = parseSchema(
    '{"type":"record","name":"R","fields":[{"name":"m","type":{"type":"map","values":"double"}},' +
      '{"name":"f","type":"boolean"}]}',
  );

  it("reads maps, doubles and booleans", () => {
    const data = Uint8Array.from([2, 2, 97, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 1]);
    expect(decodeAvro(data, schema)).toEqual({ m: { a: 1.5 }, f: true });
  });

  it("reads a block of items with its length in bytes", () => {
    const items = parseSchema('{"type":"array","items":"long"}');
    expect(decodeAvro(Uint8Array.from([3, 4, 2, 1, 0]), items)).toEqual([1, -1]);
  });

  it("fills in what a later schema added, and drops what it left out", () => {
    const newest = parseSchema(
      '{"type":"record","name":"R","fields":[{"name":"f","type":"boolean"},' +
        '{"name":"b","type":"bytes","default":"\\u00ff"},{"name":"n","type":["null","int"],"default":null}]}',
    );
    expect(resolve({ m: {}, f: true }, newest)).toEqual({ f: true, b: Uint8Array.of(255), n: null });
  });

  it("refuses numbers that are too long or too large", () => {
    for (const data of [Array(11).fill(0x80), [...Array(9).fill(0xff), 1]]) {
      expect(() => decodeAvro(Uint8Array.from(data), "long")).toThrow(MalformedError);
    }
  });
});

describe("zstd", () => {
  it("spends no memory on a claim", () => {
    const claim = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, ...Array(7).fill(0xff), 0x0f, 1, 0, 0]);
    expect(() => decompressFrame(claim, 1000)).toThrow("larger");
    const window = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 1, 0, 0]);
    expect(() => decompressFrame(window, 1000)).toThrow("window");
  });
});
