/** One dead letter: where it stood, why it is dead, what its clear header says. Content only for who may see it. */

import { useState } from "preact/hooks";
import { getJson } from "../../api/client";
import { may } from "../../app/session";
import { formatBytes, formatTime } from "../../ui/format";
import { Button, Dialog, Loading, Notice, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { LetterDetail } from "./answers";
import { SettleDialog } from "./SettleDialog";

export function LetterDialog(props: { id: string; close: () => void; changed: () => void }) {
  const letter = useLoad(
    (signal) => getJson<LetterDetail>(`/dead-letters/${encodeURIComponent(props.id)}`, {}, signal),
    [props.id],
  );
  const [settling, setSettling] = useState<"retry" | "discard">();
  const { data } = letter;
  if (settling) return <SettleDialog how={settling} ids={[props.id]} close={() => setSettling(undefined)} done={props.changed} />;
  return (
    <Dialog title={props.id} wide close={props.close}>
      {!data && (letter.error ? <Trouble error={letter.error} again={letter.again} /> : <Loading />)}
      {data && (
        <>
          <dl class="letter-facts">{facts(data).map(([name, value]) => value && <Fact key={name} name={name} value={value} />)}</dl>
          {!data.fetched && <Notice tone="warn">Kafka keeps this record no longer; a replay from the archive may bring it back.</Notice>}
          {data.malformed && <Notice tone="warn">Its header cannot be read: {data.malformed}</Notice>}
          <Content data={data} />
          {may("manage_processors") && !data.settled && (
            <div class="actions">
              <Button kind="danger" onClick={() => setSettling("discard")}>
                Give up
              </Button>
              <Button kind="primary" disabled={!data.fetched} onClick={() => setSettling("retry")}>
                Try again
              </Button>
            </div>
          )}
        </>
      )}
    </Dialog>
  );
}

function Fact(props: { name: string; value: string }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
    </div>
  );
}

function Content(props: { data: LetterDetail }) {
  if (props.data.content === null) {
    return <p class="quiet">What the record holds is not shown to your account: it may be somebody's recording.</p>;
  }
  return (
    <details>
      <summary>The beginning of the record</summary>
      <pre class="hex">{hexLines(props.data.content)}</pre>
    </details>
  );
}

function facts(data: LetterDetail): [string, string][] {
  return [
    ["State", data.settled || "open"],
    ["Why", data.reason],
    ["In words", data.detail],
    ["Given up by", data.stages.join(", ")],
    ["When", formatTime(data.time_ms)],
    ["Topic", data.topic],
    ["Partition and offset", `${data.partition}, ${data.offset}`],
    ["Key", data.key],
    ["Size", data.bytes ? formatBytes(data.bytes) : ""],
    ...Object.entries(data.headers).map(([name, value]): [string, string] => [`Header ${name}`, value]),
    ...Object.entries(data.described).map(([name, value]): [string, string] => [name.replaceAll("_", " "), shownValue(name, value)]),
  ];
}

function shownValue(name: string, value: unknown): string {
  if (name.endsWith("_ms") && typeof value === "number") return formatTime(value);
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/** Sixteen bytes a line, as hex and as text. */
function hexLines(hex: string): string {
  const lines: string[] = [];
  for (let at = 0; at < hex.length; at += 32) {
    const part = hex.slice(at, at + 32).match(/../g) ?? [];
    const text = part.map((one) => String.fromCharCode(parseInt(one, 16))).join("").replace(/[^ -~]/g, ".");
    lines.push(`${(at / 2).toString(16).padStart(4, "0")}  ${part.join(" ").padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
