/** Which day is watched, and the days beside it. */

import { setQuery } from "../../app/router";
import { dayOf, type View } from "../../player/layout";
import { formatDay, toLocalInput } from "../../ui/format";
import { Button } from "../../ui/parts";

export function DayPicker({ day, again }: { day: View; again: () => void }) {
  const go = (at: number) => setQuery({ at: String(at), until: undefined }, false);
  const choose = (text: string) => {
    const at = new Date(`${text}T12:00`).getTime();
    if (!Number.isNaN(at)) go(dayOf(at).from);
  };
  const today = dayOf(Date.now()).from;
  return (
    <div class="row middle days">
      <Button small kind="plain" aria-label="The day before" onClick={() => go(dayOf(day.from - 1).from)}>
        ‹
      </Button>
      <input
        type="date"
        aria-label={`Day, now ${formatDay(day.from)}`}
        value={toLocalInput(day.from).slice(0, 10)}
        max={toLocalInput(today).slice(0, 10)}
        onChange={(event) => choose(event.currentTarget.value)}
      />
      <Button small kind="plain" aria-label="The day after" disabled={day.from >= today} onClick={() => go(day.until)}>
        ›
      </Button>
      <Button small kind="plain" onClick={again}>
        Refresh
      </Button>
    </div>
  );
}
