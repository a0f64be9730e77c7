/** Keys: which KEKs there are, where their halves lie, what they protect, and their lives. Never shows a private half. */

import "../../ui/blocks.css";
import "./keys.css";
import { useCallback, useState } from "preact/hooks";
import { getQuietly, useEvery } from "../../api/background";
import { getJson } from "../../api/client";
import { query, setQuery } from "../../app/router";
import { may } from "../../app/session";
import { Button, Loading, PageHead, Tabs, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { KeysAnswer, ProtectedAnswer } from "./answers";
import { Checks } from "./Checks";
import { MakeDialog, RegisterDialog } from "./Forms";
import { KekDetail } from "./KekDetail";
import { KekList } from "./KekList";
import { Sets } from "./Sets";

const TABS = [
  ["keks", "KEKs"],
  ["sealing", "Who seals to what"],
  ["checks", "Checks"],
] as const;
type Tab = (typeof TABS)[number][0];

export default function Keys() {
  const keys = useLoad((signal) => getJson<KeysAnswer>("/keys", {}, signal), []);
  const counts = useLoad((signal) => getQuietly<ProtectedAnswer>("/keys/protects", {}, signal), []);
  useEvery(1500, counts.data?.counting ?? false, counts.again);
  const [dialog, setDialog] = useState<"register" | "make">();
  const changed = useCallback(() => keys.again(), []);
  const tab = (TABS.find(([name]) => name === query.value.get("tab"))?.[0] ?? "keks") as Tab;
  const chosen = query.value.get("kek");
  const kek = keys.data?.keys.find((one) => one.name === chosen);

  if (!keys.data) {
    return (
      <>
        <PageHead title="Keys" />
        {keys.error ? <Trouble error={keys.error} again={keys.again} /> : <Loading what="Looking at the keys" />}
      </>
    );
  }
  if (kek) return <KekDetail kek={kek} all={keys.data} counts={counts.data} changed={changed} />;
  return (
    <>
      <PageHead title="Keys">
        {may("manage_keys") && (
          <>
            <Button onClick={() => setDialog("make")}>Make a key for the server</Button>
            <Button kind="primary" onClick={() => setDialog("register")}>
              Register a public key
            </Button>
          </>
        )}
      </PageHead>
      <div class="stack">
        <Tabs
          label="Keys"
          names={TABS}
          chosen={tab}
          choose={(name) => setQuery({ tab: name === "keks" ? undefined : name })}
        />
        {tab === "keks" && <KekList answer={keys.data} counts={counts} />}
        {tab === "sealing" && <Sets keys={keys.data} changed={changed} />}
        {tab === "checks" && <Checks />}
      </div>
      {dialog === "register" && <RegisterDialog close={() => setDialog(undefined)} changed={changed} />}
      {dialog === "make" && <MakeDialog close={() => setDialog(undefined)} changed={changed} />}
    </>
  );
}
