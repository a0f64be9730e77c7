/** What the player says of a screen: never an older picture for a time of which nothing is known. */

import { describe, expect, it } from "vitest";
import type { TimelineAnswer } from "../src/player/answers";
import { panesOf, stateOf } from "../src/player/picture";
import { colourNumbers, rankApplications, tracksOf } from "../src/player/tracks";

const timeline: TimelineAnswer = {
  person: "ann", since_ms: 0, until_ms: 1_000_000, resolution_ms: 60_000,
  agents: [{ agent_id: "a", computer: "desk" }, { agent_id: "b", computer: "desk" }, { agent_id: "c", computer: "lap" }],
  spans: [
    { stream: "screen", agent_id: "a", from_ms: 100_000, until_ms: 200_000, end_to_end: false },
    { stream: "screen", agent_id: "a", from_ms: 500_000, until_ms: 600_000, end_to_end: true },
    { stream: "screen", agent_id: "b", from_ms: 150_000, until_ms: 300_000, end_to_end: false },
  ],
  gaps: [{ stream: "screen", agent_id: "b", from_ms: 200_000, until_ms: 220_000, reason: "spool_full", detail: "" }],
  activity: [{ agent_id: "a", from_ms: 100_000, until_ms: 400_000, application: "editor", title: "", idle: false, paused: false }],
  activity_coarse: false, alerts: [],
};

describe("a screen's state", () => {
  it("is shown while the agent recorded something, also when the picture stands", () => {
    expect(stateOf(timeline, "a", 150_000, 149_000).is).toBe("shown");
    expect(stateOf(timeline, "a", 390_000, 199_000).is).toBe("shown");
  });

  it("is nothing when no stream has anything, with the times around", () => {
    expect(stateOf(timeline, "a", 480_000, 199_000)).toEqual({ is: "nothing", from_ms: 400_000, until_ms: 500_000 });
    expect(stateOf(timeline, "a", 50_000, undefined)).toEqual({ is: "nothing", from_ms: undefined, until_ms: 100_000 });
    expect(stateOf(timeline, "c", 50_000, undefined).is).toBe("nothing");
  });

  it("is sealed when what was open is older than the seal", () => {
    expect(stateOf(timeline, "a", 550_000, undefined).is).toBe("sealed");
    expect(stateOf(timeline, "a", 550_000, 199_000).is).toBe("sealed");
    expect(stateOf(timeline, "a", 550_000, 500_100).is).toBe("shown");
  });

  it("is a gap whatever picture there is", () => {
    expect(stateOf(timeline, "b", 210_000, 199_000)).toMatchObject({ is: "gap", gap: { reason: "spool_full" } });
  });
});

describe("panes", () => {
  const shots = new Map([
    ["a/0", { agentId: "a", shotAt: 149_000 }],
    ["a/1", { agentId: "a", shotAt: 149_000 }],
    ["b/0", { agentId: "b", shotAt: undefined }],
  ]);

  it("are those with something to see or to say", () => {
    expect(panesOf(timeline, 150_000, shots).map((one) => [one.key, one.state.is])).toEqual([["a/0", "shown"], ["a/1", "shown"]]);
    expect(panesOf(timeline, 210_000, shots).map((one) => [one.key, one.state.is])).toEqual([["a/0", "shown"], ["a/1", "shown"], ["b/0", "gap"]]);
    expect(panesOf(timeline, 550_000, new Map()).map((one) => [one.key, one.state.is])).toEqual([["a", "sealed"]]);
  });

  it("say once of an agent that it is sealed", () => {
    expect(panesOf(timeline, 550_000, shots).map((one) => one.key)).toEqual(["a/0"]);
    expect(panesOf(timeline, 900_000, shots)).toEqual([]);
  });
});

describe("tracks", () => {
  it("stand by computer, and only where there is something", () => {
    expect(tracksOf(timeline).map((track) => track.label)).toEqual(["Markers", "Activity, desk", "Screen, desk"]);
    expect(tracksOf(timeline)[2]!.spans.map((span) => span.from_ms)).toEqual([100_000, 150_000, 500_000]);
  });

  it("give the first eight applications colours of their own", () => {
    const of = (application: string, ms: number) => ({ ...timeline.activity[0]!, application, from_ms: 0, until_ms: ms });
    const activity = Array.from({ length: 12 }, (_, number) => of(`app${number}`, 1000 - number));
    expect(rankApplications([...activity, { ...of("away", 9999), idle: true }])[0]).toEqual({ application: "app0", ms: 1000 });
    const colour = colourNumbers(activity);
    expect(activity.map((one) => colour(one.application))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8]);
    expect(colour("unknown")).toBe(8);
  });
});
