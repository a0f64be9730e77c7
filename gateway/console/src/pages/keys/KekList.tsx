/** All KEKs in a table. Never counts by itself: what they protect comes with its time. */

import { Link } from "../../app/router";
import { formatBytes, formatNumber } from "../../ui/format";
import { Badge, Empty, Table, Time, Trouble, type Column } from "../../ui/parts";
import type { Loaded } from "../../ui/useLoad";
import { PURPOSES, STATES, TONES, warningsOf, type Kek, type KeysAnswer, type ProtectedAnswer } from "./answers";

export function KekList(props: { answer: KeysAnswer; counts: Loaded<ProtectedAnswer> }) {
  const { answer, counts } = props;
  if (!answer.keys.length) {
    return (
      <Empty title="No key is registered">
        <p>Agents have nothing to seal to until one is. `sealstream up` makes the first.</p>
      </Empty>
    );
  }
  const strangers = (counts.data?.keys ?? []).filter((one) => !one.name);
  return (
    <>
      <div class="card flush">
        <Table label="KEKs" columns={columns(answer, counts.data)} rows={answer.keys} id={(kek) => kek.name} />
      </div>
      <p class="quiet">
        {counts.data?.problem ? counts.data.problem : <Counted counts={counts.data} />}
        {strangers.length > 0 &&
          ` ${formatNumber(strangers.reduce((sum, one) => sum + one.alone, 0))} epochs are sealed to keys that nobody registered here.`}
      </p>
      {counts.error !== undefined && <Trouble error={counts.error} again={counts.again} />}
    </>
  );
}

export function Counted(props: { counts: ProtectedAnswer | undefined }) {
  const counts = props.counts;
  if (!counts?.counted_at_ms) return <>Counting what each key protects.</>;
  return (
    <>
      What keys protect was counted in this node's archive <Time ms={counts.counted_at_ms} age />
      {counts.counting ? ", and is being counted again." : "."}
    </>
  );
}

function columns(answer: KeysAnswer, counts: ProtectedAnswer | undefined): Column<Kek>[] {
  return [
    {
      title: "Key",
      show: (kek) => (
        <div class="kek">
          <Link href={`/keys?kek=${encodeURIComponent(kek.name)}`}>
            <strong>{kek.name}</strong>
          </Link>
          <div class="quiet key-id">
            {kek.algorithm || "not usable"} {kek.key_id.slice(0, 16)}
          </div>
        </div>
      ),
    },
    { title: "For", show: (kek) => <Badge tone={kek.purpose === "end_to_end" ? "sealed" : undefined}>{PURPOSES[kek.purpose]}</Badge> },
    { title: "State", show: (kek) => <State kek={kek} /> },
    { title: "Private half", show: (kek) => <Places names={places(kek, answer)} /> },
    {
      title: "Protects",
      number: true,
      show: (kek) => {
        const one = counts?.keys.find((count) => count.name === kek.name);
        if (!counts?.counted_at_ms) return <span class="quiet">counting</span>;
        if (!one) return <span class="quiet">nothing</span>;
        return (
          <span title={`${one.alone} epochs open with it alone`}>
            {formatNumber(one.epochs)}&nbsp;epochs
            <br />
            <span class="quiet">{formatBytes(one.bytes)}</span>
          </span>
        );
      },
    },
    {
      title: "Needs a look",
      show: (kek) => {
        const told = warningsOf(kek);
        return told.length ? <span title={told.join("\n")}>{told[0]}</span> : "";
      },
    },
  ];
}

export function State(props: { kek: Kek }) {
  const { kek } = props;
  const tone = TONES[kek.state];
  return (
    <span>
      <Badge tone={tone}>{STATES[kek.state]}</Badge>
      {kek.successor && <span class="quiet"> then {kek.successor}</span>}
    </span>
  );
}

/** Where the private half lies: what this node has, and what others said. */
function places(kek: Kek, answer: KeysAnswer): readonly string[] {
  if (kek.private_half === "token") return ["in a token"];
  const names = kek.places.filter((one) => one.private_half && one.node !== answer.node).map((one) => one.node);
  if (kek.private_half === "file") names.unshift("here");
  return names.length ? names : ["on no known node"];
}

const MOST_PLACES = 4;

function Places({ names }: { names: readonly string[] }) {
  if (names.length <= MOST_PLACES) return <span>{names.join(", ")}</span>;
  return (
    <details>
      <summary>
        {names.slice(0, MOST_PLACES - 1).join(", ")}, and {names.length - MOST_PLACES + 1} more
      </summary>
      {names.slice(MOST_PLACES - 1).join(", ")}
    </details>
  );
}
