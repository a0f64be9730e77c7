/** A chart by uPlot that follows its box and the theme. Never holds the data: it is drawn anew when they change. */

import "uplot/dist/uPlot.min.css";
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "../app/theme";

/** `label` tells what the chart shows to those who cannot see it; `options` without width and height. */
export function Chart(props: {
  label: string;
  height: number;
  options: Omit<uPlot.Options, "width" | "height">;
  data: uPlot.AlignedData;
}) {
  const box = useRef<HTMLDivElement>(null);
  const chosen = theme.value;
  useEffect(() => {
    const element = box.current!;
    const chart = new uPlot({ ...props.options, width: element.clientWidth || 300, height: props.height }, props.data, element);
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: props.height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
    };
  }, [props.options, props.data, props.height, chosen]);
  return <div ref={box} role="img" aria-label={props.label} />;
}

const probe = document.createElement("span");
const colours = new Map<string, string>();
effect(() => {
  void theme.value;
  colours.clear();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colours.clear());

/** A colour of the theme, as canvases want it: which of its two it is depends on light or dark. */
export function themeColour(name: string): string {
  const known = colours.get(name);
  if (known) return known;
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(--${name})`;
  const colour = getComputedStyle(probe).color;
  colours.set(name, colour);
  return colour;
}
