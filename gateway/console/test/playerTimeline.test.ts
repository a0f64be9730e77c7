/** The player's clock, stretches, layout and markers: numbers in, numbers out. */

import { describe, expect, it } from "vitest";
import type { ActivitySpan, Gap, RecordedSpan, SearchHit } from "../src/player/answers";
import { Clock } from "../src/player/clock";
import { blocks, dayOf, follow, pan, ticks, toTime, toX, zoom } from "../src/player/layout";
import { inOrder, nextMarker, ofAlerts, ofGaps, ofHits } from "../src/player/markers";
import { extent, findQuiet, gapsAt, join, leap, subtract } from "../src/player/stretches";

const span = (from_ms: number, until_ms: number, stream = "screen"): RecordedSpan => ({
  from_ms, until_ms, stream: stream as "screen", agent_id: "a", end_to_end: false,
});
const gap = (from_ms: number, until_ms: number): Gap => ({
  from_ms, until_ms, stream: "screen", agent_id: "a", reason: "agent_killed", detail: "",
});
const activity = (from_ms: number, until_ms: number, idle: boolean, paused = false): ActivitySpan => ({
  from_ms, until_ms, agent_id: "a", application: "editor", title: "", idle, paused,
});

describe("clock", () => {
  const make = () => {
    const time = { ms: 0 };
    return { time, clock: new Clock(() => time.ms, 1000) };
  };

  it("stands until it plays, and then goes at its rate", () => {
    const { time, clock } = make();
    time.ms = 500;
    expect(clock.at).toBe(1000);
    clock.play();
    time.ms = 700;
    expect(clock.at).toBe(1200);
    clock.setRate(8);
    time.ms = 800;
    expect(clock.at).toBe(2000);
    clock.pause();
    time.ms = 10_000;
    expect(clock.at).toBe(2000);
  });

  it("waits while it is held, and goes on by itself", () => {
    const { time, clock } = make();
    clock.play();
    time.ms = 100;
    clock.hold(true);
    time.ms = 5000;
    expect([clock.at, clock.playing, clock.held]).toEqual([1100, true, true]);
    clock.hold(false);
    time.ms = 5050;
    expect(clock.at).toBe(1150);
  });

  it("goes to a moment while it plays, and stays within its rates", () => {
    const { time, clock } = make();
    clock.play();
    time.ms = 100;
    clock.seek(50_000);
    time.ms = 200;
    expect(clock.at).toBe(50_100);
    for (let i = 0; i < 10; i++) clock.shift(1);
    expect(clock.rate).toBe(32);
    for (let i = 0; i < 10; i++) clock.shift(-1);
    expect(clock.rate).toBe(0.5);
  });
});

describe("stretches", () => {
  it("are joined and cut", () => {
    expect(join([span(5, 9), span(0, 3), span(3, 4)])).toEqual([{ from_ms: 0, until_ms: 4 }, { from_ms: 5, until_ms: 9 }]);
    expect(join([span(0, 3), span(5, 9)], 2)).toEqual([{ from_ms: 0, until_ms: 9 }]);
    expect(subtract([span(0, 10)], [span(2, 4), span(8, 20)])).toEqual([{ from_ms: 0, until_ms: 2 }, { from_ms: 4, until_ms: 8 }]);
    expect(subtract([span(0, 10)], [span(0, 10)])).toEqual([]);
    expect(extent({ spans: [], gaps: [] })).toBeUndefined();
  });

  it("are quiet when nothing came, or nobody typed; a gap is not quiet", () => {
    const spans = [span(0, 10_000), span(60_000, 100_000)];
    expect(findQuiet({ spans, gaps: [], activity: [] })).toEqual([{ from_ms: 10_000, until_ms: 60_000 }]);
    expect(findQuiet({ spans, gaps: [gap(20_000, 40_000)], activity: [] })).toEqual([
      { from_ms: 10_000, until_ms: 20_000 },
      { from_ms: 40_000, until_ms: 60_000 },
    ]);
    const idle = [activity(70_000, 90_000, true), activity(80_000, 82_000, false)];
    expect(findQuiet({ spans: [span(0, 100_000)], gaps: [], activity: idle })).toEqual([
      { from_ms: 70_000, until_ms: 80_000 },
      { from_ms: 82_000, until_ms: 90_000 },
    ]);
  });

  it("leads over what is quiet and over gaps, but not past what another stream has", () => {
    const quiet = [{ from_ms: 0, until_ms: 60_000 }];
    expect(leap(1000, quiet, [], [])).toEqual({ to_ms: 60_000, skipped_ms: 59_000, gap: undefined });
    expect(leap(59_000, quiet, [], [])).toBeUndefined();
    const hole = gap(60_000, 90_000);
    expect(leap(60_000, quiet, [hole], [])).toEqual({ to_ms: 90_000, skipped_ms: 30_000, gap: hole });
    expect(leap(60_000, quiet, [hole], [span(70_000, 71_000)])?.to_ms).toBe(70_000);
    expect(leap(70_500, quiet, [hole], [span(70_000, 71_000)])).toBeUndefined();
  });

  it("finds the gaps of a stream", () => {
    expect(gapsAt([gap(0, 10)], "screen", "a", 5)).toHaveLength(1);
    expect(gapsAt([gap(0, 10)], "screen", "b", 5)).toHaveLength(0);
    expect(gapsAt([gap(0, 10)], "screen", "a", 10)).toHaveLength(0);
  });
});

describe("layout", () => {
  const limits = { from: 0, until: 86_400_000 };

  it("turns moments into pixels and back", () => {
    expect(toX(43_200_000, limits, 1000)).toBe(500);
    expect(toTime(500, limits, 1000)).toBe(43_200_000);
  });

  it("zooms about a moment, within the limits", () => {
    const near = zoom(limits, 4, 43_200_000, limits);
    expect(near.until - near.from).toBe(21_600_000);
    expect(toX(43_200_000, near, 1000)).toBe(500);
    expect(zoom(near, 0.001, 0, limits)).toEqual(limits);
    const closest = zoom(limits, 1e9, 0, limits);
    expect(closest).toEqual({ from: 0, until: 10_000 });
    expect(pan(closest, -5000, limits)).toEqual(closest);
    expect(pan(closest, 5000, limits)).toEqual({ from: 5000, until: 15_000 });
    expect(follow(closest, 20_000, limits)).toEqual({ from: 19_000, until: 29_000 });
    expect(follow(closest, 3000, limits)).toBe(closest);
  });

  it("has ticks at full times, not too near to each other", () => {
    const { at, step_ms } = ticks(limits, 1000);
    expect(step_ms).toBe(10_800_000);
    expect(at).toHaveLength(9);
    const zoned = ticks({ from: 0, until: 600_000 }, 600, 19_800_000);
    expect(zoned.at.every((one) => (one + 19_800_000) % zoned.step_ms === 0)).toBe(true);
  });

  it("draws thousands of stretches as few blocks, none of them lost", () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({ from_ms: i * 17_280, until_ms: i * 17_280 + 10_000 }));
    const drawn = blocks(many, limits, 1000);
    expect(drawn.length).toBeLessThan(1001);
    expect(blocks([{ from_ms: 1000, until_ms: 1001 }], limits, 1000)).toEqual([{ x: expect.any(Number), width: 1 }]);
    expect(blocks([{ from_ms: -10, until_ms: -5 }], limits, 1000)).toEqual([]);
  });

  it("knows the day of a moment", () => {
    const noon = new Date(2026, 10, 27, 12).getTime();
    expect(dayOf(noon)).toEqual({ from: new Date(2026, 10, 27).getTime(), until: new Date(2026, 10, 28).getTime() });
  });
});

describe("markers", () => {
  const hit: SearchHit = {
    id: "d1", index: "screen", time_ms: 5000, until_ms: 9000, agent_id: "a", kind: "screen", stream: "screen", title: [],
    fragments: [[{ text: "overdue ", hit: false }, { text: "invoice", hit: true }]], frame_at_ms: 6000,
  };
  const markers = inOrder(
    ofHits([hit]),
    ofAlerts([{ at_ms: 1000, rule: "bank", severity: "high", document_id: "", agent_id: "a" }]),
    ofGaps([gap(6000, 8000)]),
  );

  it("stand in order, with words of their own", () => {
    expect(markers.map(({ at, kind, text }) => [at, kind, text])).toEqual([
      [1000, "alert", "bank (high)"],
      [6000, "gap", "screen: the agent was ended"],
      [6000, "hit", "overdue invoice"],
    ]);
  });

  it("lead forth and back from any moment", () => {
    expect(nextMarker(markers, 0)?.kind).toBe("alert");
    expect(nextMarker(markers, 1000)?.kind).toBe("gap");
    expect(nextMarker(markers, 6000)).toBeUndefined();
    expect(nextMarker(markers, 6000, false)?.kind).toBe("alert");
    expect(nextMarker(markers, 1000, false)).toBeUndefined();
  });
});
