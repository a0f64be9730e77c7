/** What a display is called. */

import { splitKey } from "../../player/tape";
import type { Replay } from "./replay";

/** `key`: a display's, or an agent's id when none of its displays is known. */
export function nameOf(key: string, replay: Replay): string {
  if (!key.includes("/")) return replay.computers.get(key) ?? "a computer";
  const { agent, display } = splitKey(key);
  return `${replay.computers.get(agent) ?? "a computer"}, display ${display + 1}`;
}
