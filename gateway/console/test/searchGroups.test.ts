/** Screens that are nearly the same, as the page that searches puts them together. */

import { describe, expect, it } from "vitest";
import type { Result } from "../src/pages/search/answer";
import { APART_MS, grouped, moreWords } from "../src/pages/search/groups";

const MINUTE = 60_000;

/** What stands between stars is what was searched for. */
const wordPieces = (text: string) => text.split("*").map((part, number) => ({ text: part, hit: number % 2 === 1 })).filter((piece) => piece.text);

/** A screen on which `text` was found, the word between stars marked. */
function screen(minute: number, text: string, change: Partial<Result> = {}): Result {
  return {
    key: `open ${minute} ${text}`, source: "open", timeMs: minute * MINUTE, agentId: "a", person: "ann", computer: "desk", stream: "screen",
    kind: "screen", application: "Writer", title: [], fragments: [wordPieces(text)], people: "", display: 0, frameAtMs: 0, boxes: [],
    document: undefined, text: undefined, ...change,
  };
}

const told = (results: readonly Result[]) => grouped(results).map(({ result, others }) => [result, ...others].map((one) => one.timeMs / MINUTE));

describe("screens that are nearly the same", () => {
  const LINE = "Open items\nThe *invoice* of Rossi is overdue\nPage 1";

  it("are one result, however long they stood, as long as no pause is long", () => {
    const results = Array.from({ length: 100 }, (_, number) => screen(number, `${LINE}${number}`));
    expect(told(results)).toEqual([results.map((one) => one.timeMs / MINUTE)]);
  });

  it("are cut where nothing was found for a while", () => {
    expect(told([0, 5, 15, 26].map((minute) => screen(minute, LINE)))).toEqual([[0, 5, 15], [26]]);
    expect(APART_MS).toBe(10 * MINUTE);
  });

  it("keep the order that was asked for, and show the first of it", () => {
    const best = [screen(7, LINE), screen(90, "another *invoice* was paid"), screen(3, LINE), screen(9, LINE)];
    expect(told(best)).toEqual([[7, 3, 9], [90]]);
    expect(told([9, 8, 7].map((minute) => screen(minute, LINE)))).toEqual([[9, 7, 8]]);
  });

  it("are the same whatever comes later of them", () => {
    const far = [screen(0, LINE), screen(18, LINE)];
    expect(told(far)).toEqual([[0], [18]]);
    expect(told([...far, screen(9, LINE)])).toEqual([[0, 9, 18]]);
  });

  it("may differ by what was misread or is written on", () => {
    expect(told([screen(0, "The *invoice* of Rossi is overdue"), screen(1, "The *invoice* of R0ssi is overdue now")])).toEqual([[0, 1]]);
  });

  it("have the same words beside those that were searched for", () => {
    expect(told([screen(0, "*error*: the disk is full"), screen(1, "*error*: network unreachable")])).toEqual([[0], [1]]);
  });

  it("are of one agent, one application and one way of opening", () => {
    const others = [{ agentId: "b" }, { application: "Mail" }, { source: "sealed" as const }].map((change) => screen(1, LINE, change));
    expect(told([screen(0, LINE), ...others])).toEqual([[0], [1], [1], [1]]);
  });

  it("are screens", () => {
    expect(told([0, 1].map((minute) => screen(minute, LINE, { stream: "keystrokes" })))).toEqual([[0], [1]]);
  });

  it("go by their title where the words are in that alone", () => {
    const titled = (minute: number, text: string) => screen(minute, text, { title: wordPieces("*invoice*.odt") });
    expect(told([titled(0, "one page"), titled(1, "something else")])).toEqual([[0, 1]]);
  });

  it("go by what is shown of them where no word was asked for", () => {
    expect(told([screen(0, "a page of text"), screen(1, "a page of text too"), screen(2, "what else there is")])).toEqual([[0, 1], [2]]);
  });
});

it("a group says how many more there are, and when", () => {
  const words = (minutes: readonly number[]) =>
    grouped(minutes.map((minute) => screen(minute, "the *invoice*"))).map((group) => moreWords(group, (ms) => String(ms / MINUTE)));
  expect(words([1, 2, 3])).toEqual(["and 2 more until 3"]);
  expect(words([3, 2, 1])).toEqual(["and 2 more since 1"]);
  expect(words([2, 1, 3])).toEqual(["and 2 more from 1 to 3"]);
});
