/** A picture with rectangles over it, which follow its size. Never covers what they mark. */

import type { ComponentChildren } from "preact";
import type { Box } from "./answer";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** `boxes` are in pixels of a display of `size`. */
export function Boxed(props: { size: Size | undefined; boxes: readonly Box[]; children: ComponentChildren }) {
  const { size } = props;
  const percent = (part: number, whole: number) => `${(100 * part) / whole}%`;
  return (
    <span class="boxed">
      {props.children}
      {size &&
        props.boxes.map((box, at) => (
          <span
            key={at}
            class="box"
            style={{
              left: percent(box.x, size.width),
              top: percent(box.y, size.height),
              width: percent(box.width, size.width),
              height: percent(box.height, size.height),
            }}
          />
        ))}
    </span>
  );
}
