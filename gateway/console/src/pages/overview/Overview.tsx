/** The first page: what wants attention, then how everything is, live. Never shows old numbers as if they were new. */

import "./overview.css";
import type { ComponentChildren } from "preact";
import { Badge, Loading, Notice, PageHead, Trouble } from "../../ui/parts";
import { formatDuration } from "../../ui/format";
import { Attention } from "./Attention";
import { GapPart, SilentAgents, Stores } from "./Kept";
import type { Picture } from "./answers";
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
          <Attention problems={picture.problems} />
          <Tiles picture={picture} />
          <div class="columns">
            {people && <People picture={picture} />}
            <Card title="Streams" compact>
              <Streams rows={picture.streams} />
            </Card>
            <Card title="Readers of Kafka" compact>
              <Readers rows={picture.groups} />
            </Card>
            <Card title="Nodes">
              <Nodes rows={picture.nodes} components={picture.components} />
            </Card>
            <Card title="Storage">
              <Stores storage={picture.storage} />
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
      <Card title="Gaps, two weeks">
        <GapPart gaps={picture.gaps} />
      </Card>
      <Card title="Agents that went away">
        <SilentAgents agents={picture.agents} />
      </Card>
    </>
  );
}

function Card(props: { title: string; compact?: boolean; children: ComponentChildren }) {
  return (
    <section class={`card ${props.compact ? "compact" : ""}`} aria-label={props.title}>
      <h2>{props.title}</h2>
      {props.children}
    </section>
  );
}

function Freshness(props: { live: Live }) {
  const { connected, picture, ageMs } = props.live;
  if (!picture) return null;
  return connected ? (
    <Badge tone="good">
      <span class="dot good" aria-hidden="true" /> live
    </Badge>
  ) : (
    <Badge tone="warn">{formatDuration(ageMs)} old</Badge>
  );
}
