/** Envelopes: the vectors that every implementation must follow, and the chain. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { compare, concat, fromHex, toHex, type Bytes } from "../src/unlock/bytes";
import { Chain, PartJoiner } from "../src/unlock/chain";
import { readEnvelopes } from "../src/unlock/delivery";
import { firstHash, nextHash, nextLink, parseEpochHeader, peek } from "../src/unlock/envelope";
import { MalformedError, OpenError } from "../src/unlock/errors";
import { importAgentKey, Opener, verifySignature, type Unwrapper } from "../src/unlock/opening";
import { failureOf, type EnvelopeVector } from "./material";

const vectors = material.envelopes;
const opening = vectors.filter((vector) => vector.outcome === "opens");

function unwrappers(vector: EnvelopeVector): Unwrapper[] {
  return vector.unwraps.map(({ key_id, wrapped, dek }) => ({
    keyId: fromHex(key_id),
    async unwrap(given: Bytes) {
      if (compare(given, fromHex(wrapped)) !== 0) throw new OpenError();
      return fromHex(dek);
    },
  }));
}

describe("vectors", () => {
  it("has some of each outcome", () => {
    const outcomes = new Set(vectors.map((vector) => vector.outcome));
    expect([...outcomes].sort()).toEqual(["does not open", "malformed", "opens"]);
  });

  for (const vector of opening) {
    it(`opens: ${vector.name}`, async () => {
      const { epoch, record, plaintext } = await new Opener(unwrappers(vector)).open(fromHex(vector.envelope));
      expect(toHex(plaintext)).toBe(vector.plaintext);
      expect(record.stream).toBe(vector.stream);
      expect(record.sequence).toBe(vector.sequence);
      expect(epoch.endToEnd).toBe(vector.end_to_end);
      expect(record.final).toBe(vector.final);
      expect(record.moreParts).toBe(vector.more_parts);
    });
  }

  for (const vector of vectors.filter((one) => one.outcome === "malformed")) {
    it(`is malformed: ${vector.name}`, async () => {
      const error = await failureOf(new Opener(unwrappers(vector)).open(fromHex(vector.envelope)));
      expect(error).toBeInstanceOf(MalformedError);
      expect((error as MalformedError).reason).toBe(vector.reason);
    });
  }

  for (const vector of vectors.filter((one) => one.outcome === "does not open")) {
    it(`does not open: ${vector.name}`, async () => {
      const error = await failureOf(new Opener(unwrappers(vector)).open(fromHex(vector.envelope)));
      expect(error).toBeInstanceOf(OpenError);
      expect((error as OpenError).message).toBe(new OpenError().message);
    });
  }

  it("opens the same when the keys of the epoch are known already", async () => {
    const [first, second] = opening as [EnvelopeVector, EnvelopeVector];
    let unwrapped = 0;
    const [key] = unwrappers(first) as [Unwrapper];
    const opener = new Opener([{ keyId: key.keyId, unwrap: (wrapped) => (unwrapped++, key.unwrap(wrapped)) }]);
    for (const vector of [first, second, first]) {
      const opened = await opener.open(fromHex(vector.envelope));
      expect(toHex(opened.plaintext)).toBe(vector.plaintext);
    }
    expect(unwrapped).toBe(1);
  });

  it("keeps the keys of so many epochs only", async () => {
    const [first, , other] = opening as [EnvelopeVector, EnvelopeVector, EnvelopeVector];
    let unwrapped = 0;
    const keys = [...unwrappers(first), ...unwrappers(other)];
    const counting = keys.map((key) => ({
      keyId: key.keyId,
      unwrap: (wrapped: Bytes) => (unwrapped++, key.unwrap(wrapped)),
    }));
    const opener = new Opener(counting, 1);
    for (const vector of [first, other, first]) await opener.open(fromHex(vector.envelope));
    expect(unwrapped).toBe(3);
  });

  it("refuses every change of a bit", async () => {
    const vector = opening[0]!;
    const opener = new Opener(unwrappers(vector));
    const good = fromHex(vector.envelope);
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at]! ^= 1 << (at % 8);
      const error = await failureOf(opener.open(bad));
      expect(error instanceof MalformedError || error instanceof OpenError, `byte ${at}`).toBe(true);
    }
  });

  it("refuses every cut", () => {
    const good = fromHex(opening[0]!.envelope);
    for (let size = 0; size < good.length; size++) {
      expect(() => peek(good.slice(0, size)), `${size} bytes`).toThrow(MalformedError);
    }
  });

  it("refuses junk with its own errors alone", () => {
    const good = fromHex(opening[0]!.envelope);
    for (let round = 0; round < 2000; round++) {
      const bad = good.slice(0, 1 + ((round * 7919) % good.length));
      crypto.getRandomValues(bad.subarray(round % bad.length));
      try {
        peek(bad);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError);
      }
    }
  });

  it("tells whether it has a key before it opens", () => {
    const epoch = parseEpochHeader(fromHex(opening[0]!.envelope));
    expect(new Opener(unwrappers(opening[0]!)).canOpen(epoch)).toBe(true);
    expect(new Opener([]).canOpen(epoch)).toBe(false);
  });
});

describe("signature", () => {
  const signed = opening.find((vector) => vector.name === "signed by the agent")!;

  it("is verified by the agent's key alone", async () => {
    const { epoch } = peek(fromHex(signed.envelope));
    const key = await importAgentKey(fromHex(material.agentKey));
    await verifySignature(epoch, key);
    const changed = { ...epoch, signature: epoch.signature.map((byte, at) => (at ? byte : byte ^ 1)) };
    expect(await failureOf(verifySignature(changed, key))).toBeInstanceOf(OpenError);
    const unsigned = peek(fromHex(opening[0]!.envelope)).epoch;
    expect(await failureOf(verifySignature(unsigned, key))).toBeInstanceOf(OpenError);
  });
});

describe("delivery", () => {
  const envelopes = opening.map((vector) => fromHex(vector.envelope));
  const delivered = concat(...envelopes.flatMap((one) => [[0, 0, one.length >> 8, one.length & 255], one]));
  const inPieces = (data: Bytes, size: number) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < data.length; at += size) controller.enqueue(data.subarray(at, at + size));
        controller.close();
      },
    });
  const readAll = async (stream: ReadableStream<Uint8Array>) => {
    const read: string[] = [];
    for await (const envelope of readEnvelopes(stream)) read.push(toHex(envelope));
    return read;
  };

  it("is read in whatever pieces it comes", async () => {
    for (const size of [1, 3, 1000, delivered.length]) {
      expect(await readAll(inPieces(delivered, size))).toEqual(envelopes.map(toHex));
    }
    expect(await readAll(inPieces(new Uint8Array(), 1))).toEqual([]);
  });

  it("is refused when it is cut or claims too much", async () => {
    const last = delivered.length - envelopes.at(-1)!.length;
    for (const size of [delivered.length - 1, last, last - 1]) {
      const error = await failureOf(readAll(inPieces(delivered.slice(0, size), 100)));
      expect((error as MalformedError).reason).toBe("truncated");
    }
    const error = await failureOf(readAll(inPieces(Uint8Array.of(255, 255, 255, 255), 4)));
    expect((error as MalformedError).reason).toBe("too_large");
  });
});

describe("chain", () => {
  const [first, second] = opening.slice(0, 2).map((vector) => peek(fromHex(vector.envelope)));

  it("follows an epoch from its first record", async () => {
    const chain = new Chain();
    await chain.check(first!);
    await chain.check(second!);
    const hash = await firstHash(first!.epoch.core);
    expect(toHex(first!.record.previousHash)).toBe(toHex(hash));
  });

  it("tells what is lost, repeated and forked", async () => {
    const reasonOf = async (chain: Chain, seen = second!) =>
      ((await failureOf(chain.check(seen))) as MalformedError).reason;
    expect(await reasonOf(new Chain())).toBe("lost");
    const chain = new Chain();
    await chain.check(first!);
    const forked = { ...second!, record: { ...second!.record, previousHash: new Uint8Array(16) } };
    expect(await reasonOf(chain, forked)).toBe("forked");
    expect(await reasonOf(chain)).toBe("repeated");
  });

  it("links an epoch to the one before", async () => {
    const linked = opening.find((vector) => vector.name === "linked to the epoch before")!;
    const link = toHex(peek(fromHex(linked.envelope)).epoch.link);
    // That vector's epoch follows another one which had sealed both records of the first two.
    const hash = await nextHash(second!.record.previousHash, second!.record.bytes, second!.tag);
    expect(toHex(await nextLink(second!.epoch.core, hash))).toBe(link);
  });
});

describe("parts", () => {
  const [seen] = opening.map((vector) => peek(fromHex(vector.envelope)));
  const part = (sequence: number, moreParts: boolean) => ({
    epoch: seen!.epoch,
    record: { ...seen!.record, sequence, moreParts },
    plaintext: Uint8Array.of(sequence, sequence),
  });

  it("are joined under the headers of the first", () => {
    const joiner = new PartJoiner();
    expect(joiner.add(part(4, true))).toBeUndefined();
    expect(joiner.add(part(5, true))).toBeUndefined();
    expect(joiner.add(part(5, true))).toBeUndefined();
    const whole = joiner.add(part(6, false))!;
    expect([...whole.plaintext]).toEqual([4, 4, 5, 5, 6, 6]);
    expect(whole.record.sequence).toBe(4);
    expect(joiner.add(part(7, false))!.record.sequence).toBe(7);
  });

  it("are refused when one is missing or the whole is too large", () => {
    const joiner = new PartJoiner(5);
    joiner.add(part(0, true));
    expect(() => joiner.add(part(2, false))).toThrow("missing");
    joiner.add(part(3, true));
    joiner.add(part(4, true));
    expect(() => joiner.add(part(5, false))).toThrow("larger");
  });
});
