/** Pointers and wheels on the timeline: a press goes there, dragging scrubs, the wheel and two fingers look closer. */

import type { Signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { pan, toTime, zoom, type View } from "../../player/layout";

export interface Pointing {
  readonly hover: { x: number; y: number } | undefined;
}

const WHEEL = 0.0022;

export function usePointing(
  field: { current: HTMLDivElement | null }, view: Signal<View>, limits: View, seek: (at: number) => void,
): Pointing {
  const [hover, setHover] = useState<Pointing["hover"]>(undefined);
  useEffect(() => {
    const element = field.current!;
    const fingers = new Map<number, number>();
    const placeOf = (event: PointerEvent | WheelEvent) => {
      const box = element.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top, width: box.width };
    };
    const timeAt = (event: PointerEvent | WheelEvent) => {
      const { x, width } = placeOf(event);
      return toTime(x, view.value, width);
    };
    const press = (event: PointerEvent) => {
      if (event.button) return;
      element.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event.clientX);
      if (fingers.size === 1) seek(timeAt(event));
    };
    const move = (event: PointerEvent) => {
      setHover(placeOf(event));
      const before = fingers.get(event.pointerId);
      if (before === undefined) return;
      if (fingers.size === 2) pinch(event, before);
      else seek(timeAt(event));
      fingers.set(event.pointerId, event.clientX);
    };
    const pinch = (event: PointerEvent, before: number) => {
      const other = [...fingers].find(([id]) => id !== event.pointerId)![1];
      const [was, is] = [Math.abs(before - other), Math.abs(event.clientX - other)];
      const box = element.getBoundingClientRect();
      const middle = toTime((event.clientX + other) / 2 - box.left, view.value, box.width);
      if (was > 10 && is > 10) view.value = zoom(view.value, is / was, middle, limits);
    };
    const release = (event: PointerEvent) => {
      fingers.delete(event.pointerId);
      if (event.pointerType !== "mouse") setHover(undefined);
    };
    const leave = () => setHover(undefined);
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const { width } = placeOf(event);
      const sideways = event.shiftKey ? event.deltaY : event.deltaX;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        view.value = pan(view.value, (sideways / width) * (view.value.until - view.value.from), limits);
      } else view.value = zoom(view.value, Math.exp(-event.deltaY * WHEEL), timeAt(event), limits);
    };
    element.addEventListener("pointerdown", press);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", release);
    element.addEventListener("pointercancel", release);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      element.removeEventListener("pointerdown", press);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", release);
      element.removeEventListener("pointercancel", release);
      element.removeEventListener("pointerleave", leave);
      element.removeEventListener("wheel", wheel);
    };
  }, [limits, seek]);
  return { hover };
}
