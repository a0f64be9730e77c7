/**
 * The key files of one dialog, and which of them are open: a passphrase is tried on all that are still closed.
 * Never keeps a passphrase, and keeps neither file nor key when the dialog is done.
 */

import { toHex, wipe, type Bytes } from "../unlock/bytes";
import { KeyFileError } from "../unlock/errors";
import { Identity } from "../unlock/identity";

/** As many as the audit takes of one unlock at a time. */
export const MOST_FILES = 8;

interface Held {
  readonly name: string;
  readonly pem: string;
  identity: Identity | undefined;
  fault: KeyFileError | undefined;
}

/** What a person is told of a key file. `fault`: why it is not open, as far as it was tried. */
export interface KeyFileState {
  readonly name: string;
  /** In hexadecimal, once it is open: a file that is closed does not say which key it holds. */
  readonly keyId: string | undefined;
  readonly fault: KeyFileError | undefined;
  /** Whether another passphrase may open it. */
  readonly hopeful: boolean;
}

export class KeyRing {
  #held: Held[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #idleMs: number;
  readonly #shutByTime: () => void;

  /** Keys that are not used for `idleMs` are closed again, and `shutByTime` is called. */
  constructor(idleMs = 5 * 60_000, shutByTime: () => void = () => {}) {
    this.#idleMs = idleMs;
    this.#shutByTime = shutByTime;
  }

  get files(): readonly KeyFileState[] {
    return this.#held.map(({ name, identity, fault }) => ({
      name, fault, keyId: identity && toHex(identity.keyId), hopeful: isHopeful(fault),
    }));
  }

  /** Those that are open, each KEK once. */
  get identities(): readonly Identity[] {
    const open = this.#held.flatMap(({ identity }) => identity ?? []);
    return [...new Map(open.map((identity) => [toHex(identity.keyId), identity])).values()];
  }

  /** Take a key file; the same text again changes nothing, and files that no passphrase can open make room. */
  add(name: string, pem: string): void {
    this.#held = this.#held.filter((one) => isHopeful(one.fault));
    if (this.#held.some((one) => one.pem === pem) || this.#held.length >= MOST_FILES) return;
    this.#held.push({ name, pem, identity: undefined, fault: undefined });
  }

  remove(number: number): void {
    this.#held.splice(number, 1);
  }

  /** Try `passphrase` on each file that is closed, and none on one that has none; wipes it. */
  async open(passphrase: Bytes): Promise<void> {
    try {
      for (const one of this.#held) if (!one.identity) await tryOn(one, passphrase);
    } finally {
      wipe(passphrase);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => (this.shut(), this.#shutByTime()), this.#idleMs);
    }
  }

  /** Close every file again. */
  shut(): void {
    clearTimeout(this.#timer);
    for (const one of this.#held) one.identity = undefined;
  }

  /** Forget files and keys. */
  drop(): void {
    this.shut();
    this.#held = [];
  }
}

/** Whether there is a passphrase that would help. */
function isHopeful(fault: KeyFileError | undefined): boolean {
  return !fault || fault.reason === "wrong_passphrase" || fault.reason === "passphrase_needed";
}

async function tryOn(held: Held, passphrase: Bytes): Promise<void> {
  try {
    held.identity = await openUnprotected(held.pem, passphrase);
    held.fault = undefined;
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error;
    held.fault = error;
  }
}

/** As `Identity.fromPem`; the passphrase of another file is no obstacle to one that has none. */
async function openUnprotected(pem: string, passphrase: Bytes): Promise<Identity> {
  try {
    return await Identity.fromPem(pem, passphrase.slice());
  } catch (error) {
    if (!(error instanceof KeyFileError) || error.reason !== "not_protected") throw error;
    return Identity.fromPem(pem, new Uint8Array());
  }
}
