/** The way to a gap: the player at its first moment, beside the list of markers where no screen tells of it. */

import type { Gap } from "./answers";

/** The address in the player. */
export function gapLink(person: string, gap: Pick<Gap, "stream" | "from_ms" | "until_ms">): string {
  const query = new URLSearchParams({ person, at: String(gap.from_ms) });
  // Of a screen's gap the screen itself tells, for as long as it lasts.
  if (gap.stream !== "screen" || gap.until_ms <= gap.from_ms) query.set("pane", "markers");
  return `/player?${query}`;
}
