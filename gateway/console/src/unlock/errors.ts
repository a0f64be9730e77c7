/**
 * The errors of unlocking: the type says what a person can do about it.
 * Never carries a key, a passphrase or plaintext, so every message may be shown and logged.
 */

export class UnlockError extends Error {
  override readonly name: string = "UnlockError";
}

/** Bytes are not of the form that their specification gives; `reason` is one of a few fixed words. */
export class MalformedError extends UnlockError {
  override readonly name = "MalformedError";
  readonly reason: string;

  constructor(message: string, reason: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * The envelope does not open. One error for every way of not opening (wrong key, changed bytes, wrong commitment), so
 * that who sends envelopes learns nothing from the difference.
 */
export class OpenError extends UnlockError {
  override readonly name = "OpenError";

  constructor() {
    super("the envelope does not open with the keys at hand");
  }
}

/** Why a key file cannot be used here. */
export type KeyFileReason =
  | "not_a_key"
  | "not_rsa"
  | "key_size"
  | "wrong_passphrase"
  | "passphrase_needed"
  | "not_protected"
  | "unsupported"
  | "work_factor";

/** A key file cannot be used; `command` is what a person runs to make one that can, where there is such a command. */
export class KeyFileError extends UnlockError {
  override readonly name = "KeyFileError";
  readonly reason: KeyFileReason;
  readonly command: string;

  constructor(message: string, reason: KeyFileReason, command = "") {
    super(command ? `${message}; run: ${command}` : message);
    this.reason = reason;
    this.command = command;
  }
}

/** The session was locked: its keys are gone. */
export class LockedError extends UnlockError {
  override readonly name = "LockedError";

  constructor() {
    super("this session is locked; unlock again with the passphrase");
  }
}
