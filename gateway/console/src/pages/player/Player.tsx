/**
 * The player: a person's screens, terminals, mails, activity and sound on one timeline.
 * Never holds a moment that is not in the address: what is seen can be shared as a link.
 */

import "./player.css";
import "./terminal.css";
import "./timeline.css";
import { useEffect } from "preact/hooks";
import { getJson } from "../../api/client";
import { query, setQuery } from "../../app/router";
import { dayOf } from "../../player/layout";
import type { Person, TimelineAnswer } from "../../player/answers";
import { Loading, PageHead, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { Chooser } from "./Chooser";
import { DayPicker } from "./DayPicker";
import { Watching } from "./Watching";

/** The first frame comes a little after the recording began. */
const LEAD_MS = 1000;

export default function Player() {
  const person = query.value.get("person");
  return person ? <OfPerson key={person} person={person} /> : <Chooser />;
}

function OfPerson({ person }: { person: string }) {
  const asked = Number(query.value.get("at"));
  const seen = useLoad((signal) => (asked ? Promise.resolve(undefined) : findLastSeen(person, signal)), [person, asked > 0]);
  const at = asked || seen.data;
  if (seen.error) return <Trouble error={seen.error} again={seen.again} />;
  if (!at) return <Loading what={`Looking for recordings of ${person}`} />;
  return <OfDay key={dayOf(at).from} person={person} at={asked || undefined} day={dayOf(at)} />;
}

async function findLastSeen(person: string, signal: AbortSignal): Promise<number> {
  const { people } = await getJson<{ people: Person[] }>("/recordings/people", { query: person, limit: 100 }, signal);
  return people.find((one) => one.person === person)?.last_seen_ms || Date.now();
}

function OfDay({ person, at, day }: { person: string; at: number | undefined; day: { from: number; until: number } }) {
  const { data, error, again } = useLoad(async (signal) => {
    const asked = { person, since_ms: day.from, until_ms: day.until };
    return { timeline: await getJson<TimelineAnswer>("/recordings/timeline", asked, signal), now: Date.now() };
  }, [person, day.from]);
  useEffect(() => {
    // A day without a moment is shown from its first one.
    const first = data && Math.min(...[...data.timeline.spans, ...data.timeline.gaps].map((one) => one.from_ms));
    if (!at && first !== undefined) setQuery({ at: String(Number.isFinite(first) ? first + LEAD_MS : day.from) });
  }, [data, at]);
  return (
    <div class="player">
      <PageHead title={person}>
        <DayPicker day={day} again={again} />
      </PageHead>
      {error !== undefined && <Trouble error={error} again={again} />}
      {!data && !error && <Loading what="Loading the day" />}
      {data && at && <Watching key={data.now} timeline={data.timeline} at={at} day={day} now={data.now} />}
    </div>
  );
}
