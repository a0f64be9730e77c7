/**
 * Text in pieces, each of which is what was asked for or not: how highlights travel, so that no markup is ever made of text.
 * Never holds markup.
 */

export interface Piece {
  readonly text: string;
  readonly hit: boolean;
}

export type Pieces = readonly Piece[];

/** `text` cut at the places of `spans`, which are in order and do not overlap. */
export function cutAt(text: string, spans: readonly (readonly [from: number, until: number])[]): Piece[] {
  const pieces: Piece[] = [];
  const add = (from: number, until: number, hit: boolean) => {
    if (until > from) pieces.push({ text: text.slice(from, until), hit });
  };
  let at = 0;
  for (const [from, until] of spans) {
    add(at, from, false);
    add(from, until, true);
    at = until;
  }
  add(at, text.length, false);
  return pieces;
}

export function plainOf(pieces: Pieces): string {
  return pieces.map((piece) => piece.text).join("");
}
