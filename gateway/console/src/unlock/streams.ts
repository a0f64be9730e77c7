/**
 * The kinds of stream, by the number that the envelope carries.
 * Never gives a number a second meaning: archives outlive releases.
 */

export const STREAM_LABELS = {
  1: "screen",
  2: "keystrokes",
  3: "email",
  4: "activity",
  5: "audio",
  6: "gap",
  7: "index",
} as const;

export type StreamNumber = keyof typeof STREAM_LABELS;
export type StreamLabel = (typeof STREAM_LABELS)[StreamNumber];

export function isStreamNumber(number: number): number is StreamNumber {
  return Object.hasOwn(STREAM_LABELS, number);
}

/** How the plaintext of a record is encoded (the envelope's content-type byte). */
export const CONTENT_TYPES = { segment: 1, text: 2, indexRoot: 3 } as const;
