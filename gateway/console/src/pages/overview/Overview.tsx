/** The first page: what wants attention, then how everything is, live. Never shows old numbers as if they were new. */

import "./overview.css";
import type { ComponentChildren } from "preact";
import { Badge, Loading, Notice, PageHead, Trouble } from "../../ui/parts";
import { formatDuration } from "../../ui/format";
import { Attention } from "./Attention";
import { GapPart, SilentAgents, Stores } from "./Kept";
import { AsOf, ageOf, isMeasuring } from "./age";
import type { PartName, Picture } from "./answers";
import { Nodes, Readers, Streams } from "./Tables";
import { Tiles, watchesPeople } from "./Tiles";
import { useLive, type Live } from "./useLive";

export default function Overview() {
  const live = useLive();
  const { picture } = live;
  const people = watchesPeople();
  return (
    <>
      <PageHead title="Overview">
        <Freshness live={live} />
      </PageHead>
      {!picture && (live.error ? <Trouble error={live.error} again={() => location.reload()} /> : <Loading what="Measuring" />)}
      {picture && (
        <div class="stack">
          {!live.connected && (
            <Notice tone="warn" role="alert">
              The connection to the server is lost. What is shown is {formatDuration(live.ageMs)} old; it is tried again all the
              time.
            </Notice>
          )}
          <Attention problems={picture.problems} measuring={isMeasuring(picture)} />
          <Tiles picture={picture} />
          <div class="columns">
            {people && <People picture={picture} />}
            <Card title="Streams" compact picture={picture} parts={["readers", "arrivals"]}>
              <Streams rows={picture.streams} />
            </Card>
            <Card title="Readers of Kafka" compact picture={picture} parts={["readers"]}>
              <Readers rows={picture.groups} />
            </Card>
            <Card title="Nodes" picture={picture}>
              <Nodes rows={picture.nodes} components={picture.components} />
            </Card>
            <Card title="Storage" picture={picture}>
              <Stores picture={picture} />
            </Card>
            {!people && <People picture={picture} />}
          </div>
        </div>
      )}
    </>
  );
}

function People({ picture }: { picture: Picture }) {
  return (
    <>
      <Card title="Gaps, two weeks" picture={picture} parts={["tables"]}>
        <GapPart gaps={picture.gaps} />
      </Card>
      <Card title="Agents that went away" picture={picture}>
        <SilentAgents agents={picture.agents} />
      </Card>
    </>
  );
}

/** What is read from `parts` is loading until each was read, and says how old it is when that was a while ago. */
function Card(props: { title: string; compact?: boolean; picture: Picture; parts?: readonly PartName[]; children: ComponentChildren }) {
  const age = ageOf(props.picture, ...(props.parts ?? []));
  return (
    <section class={`card ${props.compact ? "compact" : ""}`} aria-label={props.title}>
      <h2>
        {props.title} <AsOf age={age} />
      </h2>
      {age.waiting ? <Loading what="Reading" /> : props.children}
    </section>
  );
}

function Freshness(props: { live: Live }) {
  const { connected, picture, ageMs } = props.live;
  if (!picture) return null;
  if (connected && isMeasuring(picture)) return <Badge>measuring</Badge>;
  return connected ? (
    <Badge tone="good">
      <span class="dot good" aria-hidden="true" /> live
    </Badge>
  ) : (
    <Badge tone="warn">{formatDuration(ageMs)} old</Badge>
  );
}
