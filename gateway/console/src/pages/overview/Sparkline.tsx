/** A small line without axes. Never stands alone: the number that it ends with is written beside it. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "preact/hooks";
import { theme } from "../../app/theme";
import { themeColour } from "../../ui/Chart";

export function Sparkline(props: { label: string; values: readonly number[]; height?: number }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const height = props.height ?? 34;
  const chosen = theme.value;
  useEffect(() => {
    const element = box.current!;
    const made = new uPlot(options(element.clientWidth || 120, height), asData(props.values), element);
    chart.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [chosen, height]);
  useEffect(() => chart.current?.setData(asData(props.values)), [props.values]);
  return <div ref={box} class="spark" role="img" aria-label={props.label} />;
}

function asData(values: readonly number[]): uPlot.AlignedData {
  return [values.map((_, at) => at), [...values]];
}

/** `rgb(…)`, as `themeColour` gives it, hardly to be seen. */
function faint(colour: string): string {
  return colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.13)");
}

function options(width: number, height: number): uPlot.Options {
  const colour = themeColour("accent");
  return {
    width,
    height,
    padding: [3, 0, 3, 0],
    cursor: { show: false },
    legend: { show: false },
    axes: [{ show: false }, { show: false }],
    scales: { x: { time: false }, y: { range: (_chart, _low, high) => [0, Math.max(high, 1) * 1.05] } },
    series: [{}, { stroke: colour, width: 1.5, fill: faint(colour), points: { show: false } }],
  };
}
