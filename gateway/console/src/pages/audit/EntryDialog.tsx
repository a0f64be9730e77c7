/** One entry with all that was written of it. */

import type { ComponentChildren } from "preact";
import { Dialog, Time } from "../../ui/parts";
import { actionWords, type Entry } from "./model";

export function EntryDialog(props: { entry: Entry; close: () => void }) {
  const { entry } = props;
  const rows: [string, ComponentChildren][] = [
    ["Who", entry.actor],
    ["Did", actionWords(entry.action)],
    ["To", entry.target],
    ["Why", entry.purpose],
    ["Outcome", actionWords(entry.outcome)],
    ...Object.entries(entry.detail)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, value]): [string, ComponentChildren] => [detailName(name), isMoment(name, value) ? <Time ms={Number(value)} /> : value]),
  ];
  return (
    <Dialog title="Entry" close={props.close}>
      <dl class="facts">
        <dt>When</dt>
        <dd>
          <Time ms={entry.time_ms} />
        </dd>
        {rows
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </Dialog>
  );
}

const isMoment = (name: string, value: string) => name.endsWith("_ms") && /^\d{12,14}$/.test(value);

/** `since_ms` is `since`: its moment is shown. */
const detailName = (name: string) => name.replace(/^(since|until|at|from)_ms$/, "$1").replaceAll("_", " ");
