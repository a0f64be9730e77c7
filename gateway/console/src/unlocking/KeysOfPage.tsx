/** Which KEKs open what is on the page, and which of them are open. Never knows more than their ids and names. */

import { useEffect, useState } from "preact/hooks";
import { getJson } from "../api/client";
import { Badge } from "../ui/parts";
import type { StreamLabel } from "../unlock/streams";
import { neededKeys, sealedEpochs, type NeededKey } from "./needed";

const TITLES: Partial<Record<StreamLabel, string>> = {
  screen: "screens", keystrokes: "terminals", email: "mails", audio: "sound", activity: "activity", index: "search",
};
const STATES: Record<NeededKey["state"], readonly [string, "good" | "warn" | undefined]> = {
  open: ["open", "good"], needed: ["needed", "warn"], spare: ["not needed", undefined],
};
const MOST_NAMES = 64;
const SHOWN = 4;

/** The beginning of a key id, as other pages show it too. */
export const shortKeyId = (keyId: string): string => `${keyId.slice(0, 16)}…`;

/** The names that the server has for these KEKs, as far as they came. */
export function useKeyNames(keyIds: readonly string[]): ReadonlyMap<string, string> {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  const wanted = keyIds.slice(0, MOST_NAMES).join(" ");
  useEffect(() => {
    if (!wanted) return;
    const aborter = new AbortController();
    getJson<{ key_id: string; name: string }[]>("/unlock/browser/keys", { key_id: wanted.split(" ") }, aborter.signal).then(
      (told) => setNames(new Map(told.map((one) => [one.key_id, one.name]))),
      () => {}, // ids are shown without names then
    );
    return () => aborter.abort();
  }, [wanted]);
  return names;
}

export function useNeededKeys(openIds: readonly string[]): readonly NeededKey[] {
  return neededKeys(sealedEpochs.value.values(), openIds);
}

interface Shown {
  readonly keys: readonly NeededKey[];
  readonly names: ReadonlyMap<string, string>;
}

/** What helps most first: needed keys that have a name, then those that are open; the others when they are asked for. */
export function KeysOfPage({ keys, names }: Shown) {
  if (!keys.length) return null;
  const rank = ({ keyId, state }: NeededKey) => (state === "open" ? 1 : state === "spare" ? 3 : names.get(keyId) ? 0 : 2);
  const ordered = [...keys].sort((one, other) => rank(one) - rank(other));
  const more = ordered.length - SHOWN;
  return (
    <section class="keys-of-page" aria-label="Keys of what is on this page">
      <h3>What is on this page is sealed to</h3>
      <List keys={ordered.slice(0, SHOWN)} names={names} />
      {more > 0 && (
        <details>
          <summary>{more === 1 ? "One more key" : `${more} more keys`}</summary>
          <List keys={ordered.slice(SHOWN)} names={names} />
        </details>
      )}
    </section>
  );
}

function List({ keys, names }: Shown) {
  return (
    <ul>
      {keys.map(({ keyId, streams, state }) => {
        const [word, tone] = STATES[state];
        return (
          <li key={keyId}>
            <span class="key" title={keyId}>
              {names.get(keyId) && <strong>{names.get(keyId)} </strong>}
              <code>{shortKeyId(keyId)}</code>
            </span>
            <span class="quiet">{streams.map((stream) => TITLES[stream] ?? stream).join(", ")}</span>
            <Badge tone={tone}>{word}</Badge>
          </li>
        );
      })}
    </ul>
  );
}
