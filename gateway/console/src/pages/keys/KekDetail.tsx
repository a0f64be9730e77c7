/** One KEK: where its halves lie, what it protects, who seals to it, and its life from rotation to its end. */

import { useState } from "preact/hooks";
import { Link } from "../../app/router";
import { may } from "../../app/session";
import { formatBytes, formatNumber } from "../../ui/format";
import { Badge, Button, Notice, PageHead, Table, Time } from "../../ui/parts";
import { PURPOSES, scopeOf, warningsOf, type Assignment, type Kek, type KeysAnswer, type ProtectedAnswer } from "./answers";
import { RevokeDialog } from "./Ending";
import { Counted, State } from "./KekList";
import { Rotation } from "./Rotation";

interface Props {
  kek: Kek;
  all: KeysAnswer;
  counts: ProtectedAnswer | undefined;
  changed: () => void;
}

export function KekDetail(props: Props) {
  const { kek, all, counts, changed } = props;
  const [revoking, setRevoking] = useState(false);
  const manage = may("manage_keys");
  const living = kek.state === "active" || kek.state === "opening";
  return (
    <>
      <PageHead title={kek.name}>
        <Link class="button" href="/keys">
          All keys
        </Link>
        {manage && kek.state !== "revoked" && (
          <Button kind="danger" onClick={() => setRevoking(true)}>
            Revoke
          </Button>
        )}
      </PageHead>
      <div class="stack">
        {warningsOf(kek).map((text) => (
          <Notice key={text} tone="warn">
            {text}
          </Notice>
        ))}
        <div class="key-columns">
          <section class="card" aria-labelledby="about">
            <h2 id="about">About it</h2>
            <dl class="facts">
              <dt>For</dt>
              <dd>
                <Badge {...(kek.purpose === "end_to_end" ? { tone: "sealed" as const } : {})}>{PURPOSES[kek.purpose]}</Badge>{" "}
                {kek.purpose === "server" ? "miners open it by themselves" : "only people with its passphrase open it"}
              </dd>
              <dt>State</dt>
              <dd>
                <State kek={kek} />
              </dd>
              <dt>Key</dt>
              <dd>{kek.algorithm || "not usable"}</dd>
              <dt>Key id</dt>
              <dd class="key-id">{kek.key_id || "not known: its public file is not here"}</dd>
              <dt>Guarded by</dt>
              <dd>{guarded(kek)}</dd>
              <dt>Registered</dt>
              <dd>
                <Time ms={kek.registered_at_ms} />
              </dd>
            </dl>
          </section>
          <Protects kek={kek} counts={counts} />
        </div>
        <Places kek={kek} all={all} />
        {living && <Rotation kek={kek} all={all} changed={changed} />}
        {kek.purpose === "end_to_end" && <Assignments rows={kek.assignments} />}
      </div>
      {revoking && (
        <RevokeDialog
          kek={kek}
          alone={counts?.keys.find((one) => one.name === kek.name)?.alone}
          close={() => setRevoking(false)}
          changed={changed}
        />
      )}
    </>
  );
}

const counted = (count: number, what: string) => `${formatNumber(count)} ${what}${count === 1 ? "" : "s"}`;

function guarded(kek: Kek): string {
  if (kek.private_half === "token") return "a token; its PIN is asked for";
  if (kek.private_half === "none") return "not known here: the private half is elsewhere";
  return kek.rounds === null ? "a passphrase" : `a passphrase, ${formatNumber(kek.rounds)} rounds of PBKDF2`;
}

function Protects(props: { kek: Kek; counts: ProtectedAnswer | undefined }) {
  const one = props.counts?.keys.find((count) => count.name === props.kek.name);
  return (
    <section class="card" aria-labelledby="protects">
      <h2 id="protects">What it protects</h2>
      {one ? (
        <dl class="facts">
          <dt>Epochs</dt>
          <dd>{formatNumber(one.epochs)}</dd>
          <dt>Only it opens</dt>
          <dd>{one.alone ? `${formatNumber(one.alone)} epochs` : "nothing"}</dd>
          <dt>Envelopes</dt>
          <dd>
            {formatNumber(one.envelopes)}, {formatBytes(one.bytes)}
          </dd>
          <dt>Of</dt>
          <dd>
            {counted(one.persons, "person")}, {counted(one.agents, "agent")}
          </dd>
          <dt>From</dt>
          <dd>
            {one.first_day} to {one.last_day}
          </dd>
        </dl>
      ) : (
        <p>{props.counts?.counted_at_ms ? "Nothing in this node's archive." : ""}</p>
      )}
      <p class="quiet">{props.counts?.problem || <Counted counts={props.counts} />}</p>
    </section>
  );
}

function Places(props: { kek: Kek; all: KeysAnswer }) {
  const { kek, all } = props;
  const rows = all.nodes.map((node) => ({ node, place: kek.places.find((one) => one.node === node) }));
  const half = (node: string, has: boolean | undefined, here: boolean) =>
    node === all.node ? (here ? "is here" : "is not here") : has === undefined ? <span class="quiet">not known</span> : has ? "is there" : "is not there";
  return (
    <section aria-labelledby="places">
      <h2 id="places">Where it lies</h2>
      <div class="card flush">
        <Table
          label="Where its halves lie"
          rows={rows}
          id={(row) => row.node}
          columns={[
            { title: "Node", show: (row) => (row.node === all.node ? `${row.node} (this one)` : row.node) },
            { title: "Public half", show: (row) => half(row.node, row.place?.public_half, Boolean(kek.key_id)) },
            {
              title: "Private half",
              show: (row) =>
                kek.private_half === "token" ? "in a token" : half(row.node, row.place?.private_half, kek.private_half === "file"),
            },
            {
              title: "As told",
              show: (row) =>
                row.node === all.node ? "now" : row.place ? <Time ms={row.place.told_at_ms} age /> : <span class="quiet">never</span>,
            },
          ]}
        />
      </div>
    </section>
  );
}

function Assignments(props: { rows: readonly Assignment[] }) {
  return (
    <section aria-labelledby="assigned">
      <h2 id="assigned">Who seals to it</h2>
      {props.rows.length === 0 ? (
        <p class="quiet">
          Nobody: it is not assigned. <Link href="/keys?tab=sealing">Who seals to what</Link>
        </p>
      ) : (
        <div class="card flush">
          <Table
            label="Assignments"
            rows={props.rows}
            id={(row) => `${row.scope} ${row.subject} ${row.stream}`}
            columns={[
              { title: "Stream", show: (row) => row.stream },
              { title: "Of", show: scopeOf },
              { title: "How", show: marksOf },
            ]}
          />
        </div>
      )}
    </section>
  );
}

export function marksOf(one: Assignment): string {
  const marks = [one.break_glass && "break-glass", one.always && "always end to end", !one.blind_index && "no blind index"];
  return marks.filter(Boolean).join(", ");
}
