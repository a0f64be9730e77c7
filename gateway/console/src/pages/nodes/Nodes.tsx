/** Nodes: what runs where and how it is, what happens as it happens, roll-outs, and who may speak between nodes. */

import "../../ui/blocks.css";
import "./nodes.css";
import { query, setQuery } from "../../app/router";
import { PageHead, Tabs } from "../../ui/parts";
import { ApprovedList } from "./ApprovedList";
import { Happening } from "./Happening";
import { NodeList } from "./NodeList";
import { Update } from "./Update";

const TABS = [
  ["nodes", "Nodes"],
  ["log", "What happens"],
  ["update", "Update"],
  ["approved", "Approved addresses"],
] as const;
type Tab = (typeof TABS)[number][0];

export default function Nodes() {
  const tab = (TABS.find(([name]) => name === query.value.get("tab"))?.[0] ?? "nodes") as Tab;
  return (
    <>
      <PageHead title="Nodes" />
      <div class="stack">
        <Tabs
          label="Nodes"
          names={TABS}
          chosen={tab}
          choose={(name) => setQuery({ tab: name === "nodes" ? undefined : name })}
        />
        {tab === "nodes" && <NodeList />}
        {tab === "log" && <Happening />}
        {tab === "update" && <Update />}
        {tab === "approved" && <ApprovedList />}
      </div>
    </>
  );
}
