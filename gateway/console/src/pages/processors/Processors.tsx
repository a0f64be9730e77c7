/** Processors, replays and dead letters. Never stops, begins or gives up anything before it said what that means. */

import "./processors.css";
import { query, setQuery } from "../../app/router";
import { PageHead, Tabs } from "../../ui/parts";
import { LettersTab } from "./LettersTab";
import { ProcessorsTab } from "./ProcessorsTab";
import { ReplaysTab } from "./ReplaysTab";

const TABS = [
  ["processors", "Processors"],
  ["replays", "Replays"],
  ["dead-letters", "Dead letters"],
] as const;
type Tab = (typeof TABS)[number][0];

export default function Processors() {
  const tab: Tab = TABS.find(([name]) => name === query.value.get("tab"))?.[0] ?? "processors";
  return (
    <>
      <PageHead title="Processors" />
      <div class="stack">
        <Tabs
          label="Processors"
          names={TABS}
          chosen={tab}
          choose={(name) => setQuery({ tab: name === "processors" ? undefined : name, letter: undefined })}
        />
        {tab === "processors" && <ProcessorsTab />}
        {tab === "replays" && <ReplaysTab />}
        {tab === "dead-letters" && <LettersTab />}
      </div>
    </>
  );
}
