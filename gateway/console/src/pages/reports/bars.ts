/** Options of a chart of stacked bars over days. Never stacks by itself: each series is drawn over the one before it. */

import uPlot from "uplot";
import { themeColour } from "../../ui/Chart";

/** `series` are names with colours, the sum of all first; `unit` stands behind the numbers. */
export function stackedBars(series: readonly (readonly [string, string])[], unit: string): Omit<uPlot.Options, "width" | "height"> {
  const quiet = themeColour("text-quiet");
  const grid = { stroke: themeColour("line"), width: 1 };
  const axis = { stroke: quiet, grid, ticks: { ...grid, size: 4 }, font: "12px system-ui, sans-serif" };
  return {
    cursor: { y: false, points: { show: false } },
    legend: { show: false },
    scales: { x: { range: (_, min, max) => [min - 43_200, max + 43_200] }, y: { range: (_, __, max) => [0, Math.max(1, max) * 1.05] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, values: (_, ticks) => ticks.map((tick) => DAY.format(tick * 1000)), incrs: [86_400, 172_800, 604_800, 1_209_600] },
      { ...axis, size: 46, values: (_, ticks) => ticks.map((tick) => `${tick} ${unit}`) },
    ],
    series: [
      {},
      ...series.map(([label, colour]) => ({
        label,
        stroke: colour,
        fill: colour,
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars!({ size: [0.7, 44], radius: 0.1 }),
      })),
    ],
  };
}

const DAY = new Intl.DateTimeFormat(navigator.language, { day: "numeric", month: "short" });
