/** Comparing opened texts with a question: what `sinks/matching.py` does, and its tests' cases. */

import { describe, expect, it } from "vitest";
import { cutAt, plainOf } from "../src/blindsearch/pieces";
import { QuestionError, Wanted } from "../src/blindsearch/wanted";

const marked = (pieces: readonly { text: string; hit: boolean }[]) =>
  pieces.map(({ text, hit }) => (hit ? `[${text}]` : text)).join("");

describe("a question", () => {
  it("has words, and phrases that stand together", () => {
    const wanted = new Wanted('Invoice "wire transfer of" ann@example.org');
    expect(wanted.phrases).toEqual([["invoice"], ["wire", "transfer", "of"], ["ann", "example", "org"]]);
    expect(wanted.words).toEqual(["ann", "example", "invoice", "org", "transfer", "wire"]);
  });

  for (const text of ["", "the", '"of the"', "a b c", "inv*", "!?"]) {
    it(`is refused: ${text}`, () => expect(() => new Wanted(text)).toThrow(QuestionError));
  }
});

describe("a text", () => {
  const texts = ["Overdue walrus", "Dear Bob, the WIRE transfer of walrus is late.", "ann@example.org"];
  for (const [question, met] of [
    ["walrus", true], ["wire late", true], ['"wire transfer of walrus"', true], ['"transfer wire"', false],
    ['"overdue walrus" ann@example.org', true], ['"walrus dear"', false], ["walrus penguin", false], ["walru", false],
  ] as const) {
    it(`${met ? "meets" : "does not meet"} ${question}`, () => expect(new Wanted(question).metBy(texts)).toBe(met));
  }

  it("is compared as the index has words", () => {
    expect(new Wanted("größe ΣΟΦΟΣ").metBy(["GRÖẞE größe", "σοφος"])).toBe(true);
    expect(new Wanted("ﬁnance").metBy(["Finance"])).toBe(true);
  });

  it("is marked where it says so, and stays as it is", () => {
    const pieces = new Wanted("wire walrus").mark(texts[1]!);
    expect(marked(pieces)).toBe("Dear Bob, the [WIRE] transfer of [walrus] is late.");
    expect(plainOf(pieces)).toBe(texts[1]);
  });

  it("is cut round the words, three times at most", () => {
    const long = Array.from({ length: 9 }, () => `${"lorem ".repeat(40)}walrus`).join(" ");
    const fragments = new Wanted("walrus").fragments(long);
    expect(fragments.length).toBe(3);
    for (const pieces of fragments) {
      expect(plainOf(pieces).length).toBeLessThanOrEqual(140);
      expect(pieces.some((piece) => piece.hit && piece.text === "walrus")).toBe(true);
    }
    expect(new Wanted("penguin").fragments(long)).toEqual([]);
  });

  it("is never cut within a character", () => {
    const [fragment] = new Wanted("walrus").fragments(`${"😀".repeat(60)} walrus ${"😀".repeat(90)}`);
    expect(plainOf(fragment!)).not.toMatch(/^[\udc00-\udfff]|[\ud800-\udbff]$/);
  });
});

describe("pieces", () => {
  it("hold all of a text", () => {
    expect(cutAt("abcd", [[0, 1], [2, 3]])).toEqual([
      { text: "a", hit: true }, { text: "b", hit: false }, { text: "c", hit: true }, { text: "d", hit: false },
    ]);
    expect(cutAt("", [])).toEqual([]);
  });
});
