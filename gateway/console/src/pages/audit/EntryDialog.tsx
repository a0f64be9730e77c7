/** One entry with all that was written of it. */

import { Dialog, Time } from "../../ui/parts";
import { actionWords, type Entry } from "./model";

export function EntryDialog(props: { entry: Entry; close: () => void }) {
  const { entry } = props;
  const rows: [string, string][] = [
    ["Who", entry.actor],
    ["Did", actionWords(entry.action)],
    ["To", entry.target],
    ["Why", entry.purpose],
    ["Outcome", entry.outcome],
    ...Object.entries(entry.detail)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, value]): [string, string] => [name.replaceAll("_", " "), detailText(name, value)]),
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

/** Milliseconds as a moment; everything else as it was written. */
function detailText(name: string, value: string): string {
  return name.endsWith("_ms") && /^\d{12,14}$/.test(value) ? new Date(Number(value)).toISOString() : value;
}
