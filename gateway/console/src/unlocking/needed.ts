/**
 * Which KEKs open what is on the page, by what sealed envelopes say of themselves.
 * Never looks into one: key ids and streams stand in the clear.
 */

import { signal } from "@preact/signals";
import { toHex } from "../unlock/bytes";
import type { EpochHeader } from "../unlock/envelope";
import type { StreamLabel } from "../unlock/streams";

/** A sealed epoch that the page met: any of its recipients opens it. */
export interface SealedEpoch {
  readonly stream: StreamLabel;
  readonly recipients: readonly string[];
}

export interface NeededKey {
  /** In hexadecimal. */
  readonly keyId: string;
  readonly streams: readonly StreamLabel[];
  /** `spare`: it is not open, and another one that is opens the same. */
  readonly state: "open" | "needed" | "spare";
}

/** Epochs that pages met since the person came to this one, by their id. */
export const sealedEpochs = signal<ReadonlyMap<string, SealedEpoch>>(new Map());

/** A page met a sealed envelope of that epoch. */
export function noteSealed({ epochId, recipients }: Pick<EpochHeader, "epochId" | "recipients">, stream: StreamLabel): void {
  const id = toHex(epochId);
  if (sealedEpochs.peek().has(id)) return;
  const met = { stream, recipients: recipients.map(({ keyId }) => toHex(keyId)) };
  sealedEpochs.value = new Map(sealedEpochs.peek()).set(id, met);
}

/** The person went elsewhere. */
export function forgetSealed(): void {
  if (sealedEpochs.peek().size) sealedEpochs.value = new Map();
}

/** The keys of those epochs: what is needed first, then by how much a key opens. */
export function neededKeys(epochs: Iterable<SealedEpoch>, openIds: readonly string[]): NeededKey[] {
  const open = new Set(openIds);
  const found = new Map<string, { streams: Set<StreamLabel>; needed: boolean; epochs: number }>();
  for (const { stream, recipients } of epochs) {
    const shut = !recipients.some((keyId) => open.has(keyId));
    for (const keyId of recipients) {
      const key = found.get(keyId) ?? { streams: new Set(), needed: false, epochs: 0 };
      found.set(keyId, key);
      key.streams.add(stream);
      key.needed ||= shut;
      key.epochs += 1;
    }
  }
  const rank = { needed: 0, open: 1, spare: 2 };
  return [...found]
    .map(([keyId, { streams, needed, epochs: opens }]) => {
      const state = open.has(keyId) ? "open" : needed ? "needed" : "spare";
      return { keyId, streams: [...streams].sort(), state, opens } as const;
    })
    .sort((one, other) => rank[one.state] - rank[other.state] || other.opens - one.opens || one.keyId.localeCompare(other.keyId))
    .map(({ keyId, streams, state }) => ({ keyId, streams, state }));
}
