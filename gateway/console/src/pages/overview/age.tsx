/** How old the parts of the picture are, and what stands where there is nothing yet. Never lets an old number pass for a new one. */

import { formatDuration } from "../../ui/format";
import type { PartName, Picture } from "./answers";

/** Parts are read every half minute at least, while somebody looks and their store answers: older ones are told to be. */
const OLD_MS = 60_000;

/** `waiting`: one of the parts was never read, and is being read now. `oldMs`: how old the oldest is, where that is worth telling. */
export interface Age {
  readonly waiting: boolean;
  readonly oldMs: number | undefined;
}

export function ageOf({ parts, measured_ms }: Picture, ...names: readonly PartName[]): Age {
  const those = parts.filter((one) => names.includes(one.part));
  const ages = those.map((one) => measured_ms - (one.read_ms ?? measured_ms)).filter((ms) => ms > OLD_MS);
  return {
    waiting: those.some((one) => one.measuring && one.read_ms === null),
    oldMs: ages.length ? Math.max(...ages) : undefined,
  };
}

export const isMeasuring = ({ parts }: Picture): boolean => parts.some((one) => one.measuring);

/** Such as `12 min 30 s old`; nothing for what is fresh. */
export function AsOf({ age }: { age: Age }) {
  return age.oldMs === undefined ? null : <span class="as-of">{formatDuration(age.oldMs)} old</span>;
}

/** Stands for a number that is being asked for. */
export function Pending() {
  return (
    <span class="pending">
      <span aria-hidden="true">…</span>
      <span class="visually-hidden">not read yet</span>
    </span>
  );
}
