/** The blind index: the vectors that every implementation must reproduce. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import {
  dayOf, documentTokens, importTokenKey, parseRoot, queryTokens, Ratchet, STOP_WORDS, wordsOf, type Field,
} from "../src/unlock/blindIndex";
import { fromHex, toHex } from "../src/unlock/bytes";
import { MalformedError } from "../src/unlock/errors";

const vectors = material.blindIndex;

/** The tokens of one word tell whether two keys are the same, though none of them can be read out. */
const sampleOf = async (key: CryptoKey) => queryTokens(key, "sample", ["text"]);

describe("words", () => {
  it("stops at the same words as Python", () => {
    expect([...STOP_WORDS].sort()).toEqual([...vectors.stop_words].sort());
  });

  for (const { name, text, words } of vectors.words) {
    it(name, () => expect([...new Set(wordsOf(text))].sort()).toEqual([...new Set(words)].sort()));
  }

  it("are those that Python finds in any text", () => {
    expect(material.texts.length).toBeGreaterThan(100);
    for (const { text, words } of material.texts) expect(wordsOf(text), JSON.stringify(text)).toEqual(words);
  });
});

describe("keys", () => {
  it("are those of each day", async () => {
    const { secret, day, days } = vectors.ratchet;
    const ratchet = new Ratchet(fromHex(secret), day);
    for (const expected of days) {
      await ratchet.advance(expected.day);
      expect(ratchet.day).toBe(expected.day);
      const key = await importTokenKey(fromHex(expected.key));
      expect(await sampleOf(await ratchet.key())).toEqual(await sampleOf(key));
    }
  });

  it("do not go back, and are gone when they are erased", async () => {
    const { secret, day } = vectors.ratchet;
    const ratchet = new Ratchet(fromHex(secret), day);
    expect(await ratchet.advance(day + 1)).toBe(true);
    const before = await sampleOf(await ratchet.key());
    expect(await ratchet.advance(day)).toBe(false);
    expect(await sampleOf(await ratchet.key())).toEqual(before);
    ratchet.erase();
    expect(await sampleOf(await ratchet.key())).not.toEqual(before);
  });

  it("come of a root", () => {
    const { bytes, stream, root_id, day, secret } = vectors.root;
    const root = parseRoot(fromHex(bytes));
    expect([root.stream, toHex(root.rootId), root.day, toHex(root.secret)]).toEqual([stream, root_id, day, secret]);
    for (const bad of [bytes.slice(2), `${bytes}00`, `00${bytes.slice(2)}`]) {
      expect(() => parseRoot(fromHex(bad))).toThrow(MalformedError);
    }
  });

  it("have days that begin at midnight UTC", () => {
    expect([dayOf(0), dayOf(86_399_999), dayOf(86_400_000)]).toEqual([0, 0, 1]);
  });
});

describe("tokens", () => {
  for (const { key, word, field, tokens } of vectors.queries) {
    it(`of ${word} in ${field}`, async () => {
      const imported = await importTokenKey(fromHex(key));
      expect(await queryTokens(imported, word, [field as Field])).toEqual(tokens);
      expect((await queryTokens(imported, word)).length).toBe(16);
    });
  }

  for (const { name, key, salt, texts, tokens } of vectors.documents) {
    it(`of a document: ${name}`, async () => {
      const imported = await importTokenKey(fromHex(key));
      expect(await documentTokens(imported, fromHex(salt), texts as [Field, string][])).toEqual(tokens);
    });
  }
});
