/** What a recorded person sees first: what is recorded of them, why, who looked at it, and their own sums. */

import { Link } from "../../app/router";
import { may, session } from "../../app/session";
import { getJson } from "../../api/client";
import { Badge, Empty, Loading, PageHead, Table, Time, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { Looks } from "./Looks";
import type { OwnTold } from "./model";
import "./own.css";
import { Totals } from "./Totals";

export default function Own() {
  const loaded = useLoad((signal) => getJson<OwnTold>("/own", {}, signal), []);
  return (
    <>
      <PageHead title="What is recorded of you">
        {may("recordings") && loaded.data?.person && session.value!.account.role === "subject" && (
          <Link class="button" href={`/player?person=${encodeURIComponent(loaded.data.person)}`}>
            See your recordings
          </Link>
        )}
      </PageHead>
      {loaded.error !== undefined && <Trouble error={loaded.error} again={loaded.again} />}
      {!loaded.data ? <Loading /> : loaded.data.person ? <Told own={loaded.data} /> : <Nobody />}
    </>
  );
}

function Nobody() {
  return (
    <Empty title="Nothing is known to be recorded of you">
      <p>Your account is not tied to a recorded person. If you are recorded, ask an administrator to tie it to your user name.</p>
    </Empty>
  );
}

function Told({ own }: { own: OwnTold }) {
  return (
    <div class="stack">
      <div class="grid">
        <section class="card">
          <h2>Why</h2>
          <p>{own.purpose || "Your organisation has not said why yet."}</p>
          <p class="quiet">
            By {own.organisation || "your organisation"}.
            {own.contact && ` Questions: ${own.contact}`}
          </p>
        </section>
        <section class="card">
          <h2>Where</h2>
          <ul class="plain">
            {own.computers.map((one) => (
              <li key={one.computer}>
                <strong>{one.computer || "a computer"}</strong> {one.connected ? <Badge tone="good">recording now</Badge> : <Badge>not connected</Badge>}
                <span class="quiet">
                  {" "}
                  since <Time ms={one.first_seen_ms} />
                </span>
              </li>
            ))}
            {!own.computers.length && <li class="quiet">No computer of yours has told anything yet.</li>}
          </ul>
        </section>
        <section class="card">
          <h2>How long</h2>
          <p>{own.kept}</p>
        </section>
      </div>
      <section class="card">
        <h2>What</h2>
        <What own={own} />
        {own.limits.length > 0 && (
          <ul class="limits quiet">
            {own.limits.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        )}
      </section>
      <Looks />
      <Totals own={own} />
    </div>
  );
}

function What({ own }: { own: OwnTold }) {
  const kept = new Map(own.streams.map((one) => [one.stream, one]));
  const listed = new Set(own.policy.map((one) => one.stream));
  const former = own.streams.filter((one) => !listed.has(one.stream));
  const rows = [
    ...own.policy.map((one) => ({ ...one, now: true })),
    ...former.map((one) => ({ stream: one.stream, words: "Not recorded any more.", end_to_end: false, now: false })),
  ];
  return (
    <Table
      label="What is recorded"
      rows={rows}
      id={(row) => row.stream}
      columns={[
        { title: "What", show: (row) => <span>{row.words}</span> },
        { title: "Stream", show: (row) => <span class="nowrap">{row.stream}</span> },
        { title: "Since", show: (row) => (kept.has(row.stream) ? <Time ms={kept.get(row.stream)!.since_ms} /> : "nothing yet") },
        { title: "Last", show: (row) => (kept.has(row.stream) ? <Time ms={kept.get(row.stream)!.last_ms} /> : "") },
        {
          title: "Who can open it",
          show: (row) =>
            row.end_to_end ? <Badge tone="sealed">only key holders</Badge> : row.now ? "people with the right role" : "",
        },
      ]}
    />
  );
}
