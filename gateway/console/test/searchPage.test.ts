/** What the page that searches makes of addresses, answers and opened texts. */

import { describe, expect, it } from "vitest";
import type { SealedHit } from "../src/blindsearch/search";
import type { Line } from "../src/blindsearch/texts";
import { Wanted } from "../src/blindsearch/wanted";
import { boxesOfLines, playerLink, resultOfSealed, type DocumentLine } from "../src/pages/search/answer";
import { askedOf, isAsking, orderOf, queryOf, rangeOf, toggled } from "../src/pages/search/asked";
import { parseSize } from "../src/pages/search/frames";

const asked = (query: string) => askedOf(new URLSearchParams(query));

function addressOf(query: string): string {
  const made = new URLSearchParams();
  for (const [name, values] of Object.entries(queryOf(asked(query)))) {
    for (const value of [values].flat()) if (value) made.append(name, value);
  }
  made.sort();
  return made.toString();
}

describe("an address", () => {
  for (const query of [
    "", "q=invoice", "order=oldest&person=ann&person=bob&q=%22a+phrase%22", "q=x&when=7d", "since_ms=5&until_ms=9",
    "application=xterm&endpoint=desk-1&fuzzy=true&q=x&stream=screen&team=sales",
  ]) {
    it(`comes back as it was: ${query}`, () => expect(addressOf(query)).toBe(query));
  }

  it("loses what makes no sense", () => {
    expect(addressOf("order=worst&when=always&since_ms=-1&until_ms=now&where=there&q=x")).toBe("q=x");
  });

  it("never holds words that are to stay in the page", () => {
    expect(addressOf("q=secret&where=sealed&person=ann")).toBe("person=ann&where=sealed");
  });
});

describe("what is asked for", () => {
  it("has the best first only where there are words", () => {
    expect(orderOf(asked("q=x"))).toBe("score");
    expect(orderOf(asked("person=ann"))).toBe("newest");
    expect(orderOf(asked("q=x&order=oldest"))).toBe("oldest");
  });

  it("is something once there is a word or a filter", () => {
    expect(isAsking(asked(""))).toBe(false);
    expect(isAsking(asked("q=+&fuzzy=true"))).toBe(false);
    expect(isAsking(asked("when=1h"))).toBe(true);
  });

  it("has a time that does not change within a minute", () => {
    const [one, other] = [rangeOf(asked("when=1h"), 7_200_001), rangeOf(asked("when=1h"), 7_259_999)];
    expect(one).toEqual({ since_ms: 3_600_000, until_ms: undefined });
    expect(other).toEqual(one);
    expect(rangeOf(asked("since_ms=5&until_ms=9"), 1)).toEqual({ since_ms: 5, until_ms: 9 });
  });

  it("changes by a click", () => {
    expect(toggled(["a"], "b")).toEqual(["a", "b"]);
    expect(toggled(["a", "b"], "a")).toEqual(["b"]);
  });
});

describe("a sealed result", () => {
  const line = (text: string, appearedMs: number, wentMs?: number): Line => ({
    text, x: 1, y: 2, width: 3, height: 4, display: 0, appearedMs, wentMs,
  });
  const hit = (lines: readonly Line[]): SealedHit => ({
    candidate: {
      id: "a-b-0-0", index: "i", time_ms: 50, until_ms: 90, agent_id: "a", epoch: "b", sequence: 0, person: "ann",
      computer: "desk", stream: "screen", kind: "screen",
    },
    text: {
      timeMs: 50, kind: "screen", title: "", text: lines.map((one) => one.text).join("\n"), application: "xterm",
      others: [], sender: "", recipients: [], lines,
    },
  });

  it("shows the moment and the place of its words", () => {
    const lines = [line("nothing", 10), line("the walrus", 60), line("walrus again", 55, 70), line("old walrus", 20, 30)];
    const result = resultOfSealed(hit(lines), new Wanted("walrus"));
    expect(result.frameAtMs).toBe(60);
    expect(result.boxes).toEqual([lines[1], lines[2]]);
    expect(playerLink(result, "walrus")).toBe("/player?person=ann&at=60&q=walrus");
    expect(playerLink(result, "")).toBe("/player?person=ann&at=60");
  });

  it("has no picture of its words when they are in its title alone", () => {
    const result = resultOfSealed(hit([line("nothing", 10)]), new Wanted("walrus"));
    expect([result.frameAtMs, result.boxes]).toEqual([50, []]);
  });
});

it("boxes stand where the words stood at that moment, on that display", () => {
  const row = (change: Partial<DocumentLine>): DocumentLine => ({
    text: "", x: 0, y: 0, width: 1, height: 1, display: 0, appeared_ms: 10, went_ms: null, hit: true, ...change,
  });
  const rows = [row({}), row({ hit: false }), row({ display: 1 }), row({ appeared_ms: 99 }), row({ went_ms: 50 })];
  expect(boxesOfLines(rows, 0, 50)).toEqual([rows[0]]);
});

it("sizes are read from the header, and nothing else is", () => {
  expect(parseSize("1920x1080")).toEqual({ width: 1920, height: 1080 });
  expect([parseSize(null), parseSize("1920"), parseSize("x"), parseSize("1x2x3")]).toEqual([undefined, undefined, undefined, undefined]);
});
