/** Every process with its state as it is now. Never shows a state that nobody told: it is asked again when something happens. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { getQuietly, useEvery } from "../../api/background";
import { subscribe } from "../../api/client";
import { may } from "../../app/session";
import { formatNumber } from "../../ui/format";
import { Badge, Button, Empty, Loading, Notice, Table, Time, Trouble, type Column } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { STATE_TONES, type Fact, type Node, type NodesAnswer } from "./answers";
import { WishDialog, type Wanted } from "./WishDialog";

export function NodeList() {
  const loaded = useLoad((signal) => getQuietly<NodesAnswer>("/nodes", {}, signal), []);
  const [live, setLive] = useState(true);
  const [wanted, setWanted] = useState<Wanted>();
  const again = useCallback(() => loaded.again(), []);
  useEvery(5000, true, again);
  useEffect(() => {
    let timer = 0;
    const stop = subscribe<Fact>(
      "/nodes/events",
      () => {
        clearTimeout(timer);
        timer = window.setTimeout(again, 400);
      },
      ["fact"],
      setLive,
    );
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);

  if (loaded.error !== undefined && !loaded.data) return <Trouble error={loaded.error} again={loaded.again} />;
  if (!loaded.data) return <Loading what="Asking for the nodes" />;
  const { nodes, here } = loaded.data;
  if (!nodes.length) {
    return (
      <Empty title="No node has told of itself yet">
        <p>States come from the lifecycle topic by the PostgreSQL sink. `sealstream status` says whether it runs.</p>
      </Empty>
    );
  }
  const [there, gone] = [nodes.filter((node) => node.state !== "left"), nodes.filter((node) => node.state === "left")];
  const lost = nodes.filter((node) => node.state === "lost");
  return (
    <div class="stack">
      {loaded.error !== undefined && <Trouble error={loaded.error} again={loaded.again} />}
      {!live && <Notice tone="warn">Events do not come at the moment; the list is asked for every 5 s.</Notice>}
      {lost.length > 0 && (
        <Notice tone="bad" role="status">
          {lost.map((node) => node.id).join(", ")} {lost.length === 1 ? "is" : "are"} lost: no heartbeat came. Look at the machine and its
          log; acknowledged data is not lost with it.
        </Notice>
      )}
      <div class="card flush">
        <Table label="Nodes" columns={columns(here, setWanted)} rows={there} id={(node) => node.id} />
      </div>
      {gone.length > 0 && (
        <details class="nodes-gone">
          <summary>
            {formatNumber(gone.length)} that left in order {gone.length === 1 ? "is" : "are"} not there any more
          </summary>
          <div class="card flush">
            <Table label="Nodes that left" columns={columns(here, setWanted)} rows={gone} id={(node) => node.id} />
          </div>
        </details>
      )}
      {wanted && <WishDialog wanted={wanted} all={nodes} close={() => setWanted(undefined)} changed={again} />}
    </div>
  );
}

function columns(here: string, wish: (wanted: Wanted) => void): Column<Node>[] {
  return [
    {
      title: "Node",
      show: (node) => (
        <div>
          <strong>{node.id}</strong>
          {node.id === here && <span class="quiet"> answers you</span>}
          {node.address && <div class="quiet">{node.address}</div>}
        </div>
      ),
    },
    { title: "State", show: (node) => <NodeState node={node} /> },
    {
      title: "Since",
      keep: true,
      show: (node) => <Time ms={node.since_ms} age />,
    },
    { title: "Version", keep: true, show: (node) => node.version || <span class="quiet">not told</span> },
    { title: "Load", show: (node) => loadOf(node) },
    { title: "Action", keep: true, show: (node) => may("manage_nodes") && <Act node={node} wish={wish} /> },
  ];
}

function NodeState(props: { node: Node }) {
  const { node } = props;
  const tone = STATE_TONES[node.state];
  const wish = node.wish;
  return (
    <div>
      <Badge tone={tone}>{node.state}</Badge>
      {wish?.wanted === "drained" && (
        <div class="quiet" title={wish.reason}>
          drained by {wish.by}, <Time ms={wish.at_ms} age />
          {wish.reason && `: ${wish.reason}`}
        </div>
      )}
      {wish?.wanted === "serving" && node.state === "draining" && <div class="quiet">being taken back</div>}
    </div>
  );
}

function loadOf(node: Node): string {
  if (node.state === "left" || node.state === "lost") return "";
  const told: string[] = [];
  if (node.role === "gateway") told.push(`${formatNumber(node.agents)} ${node.agents === 1 ? "agent" : "agents"}`);
  const { cpu, peak_bytes: peak } = node.load;
  if (cpu !== undefined) told.push(`${formatNumber(cpu * 100)} % of a core`);
  if (peak !== undefined) told.push(`${formatNumber(peak / 1048576)} MiB at most`);
  return told.join(", ");
}

function Act(props: { node: Node; wish: (wanted: Wanted) => void }) {
  const { node, wish } = props;
  if (!node.can_drain || node.state === "left" || node.state === "lost") return null;
  const drained = node.wish?.wanted === "drained";
  return (
    <Button
      small
      aria-label={`${drained ? "Take back" : "Drain"} ${node.id}`}
      onClick={() => wish({ node, to: drained ? "serving" : "drained" })}
    >
      {drained ? "Take back" : "Drain"}
    </Button>
  );
}
