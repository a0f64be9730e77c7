/** What `sealstream keys check` says on this node. Never hides what is well: that it was looked at counts. */

import { getJson } from "../../api/client";
import { Badge, Button, Loading, Notice, Table, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { Finding } from "./answers";

export function Checks() {
  const loaded = useLoad((signal) => getJson<{ findings: Finding[] }>("/keys/checks", {}, signal), []);
  if (loaded.error !== undefined && !loaded.data) return <Trouble error={loaded.error} again={loaded.again} />;
  if (!loaded.data) return <Loading what="Looking at every key" />;
  const findings = [...loaded.data.findings].sort((a, b) => Number(b.problem) - Number(a.problem));
  const problems = findings.filter((one) => one.problem).length;
  return (
    <div class="stack">
      <div class="row middle spread">
        <Notice tone={problems ? "bad" : "good"} role="status">
          {problems ? `${problems} ${problems === 1 ? "thing needs" : "things need"} a person.` : "Nothing needs a person."}
        </Notice>
        <Button disabled={loaded.loading} onClick={loaded.again}>
          Look again
        </Button>
      </div>
      <div class="card flush">
        <Table
          label="Findings"
          rows={findings}
          id={(one) => `${one.subject} ${one.says}`}
          columns={[
            { title: "Result", show: (one) => <Badge tone={one.problem ? "bad" : "good"}>{one.problem ? "look" : "well"}</Badge> },
            { title: "Key", show: (one) => one.subject },
            { title: "What was found", show: (one) => one.says },
          ]}
        />
      </div>
    </div>
  );
}
