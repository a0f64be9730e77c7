/** A piece of text with what was found marked. Never makes markup of a text. */

import type { Piece } from "./answers";

export function Fragment(props: { pieces: readonly Piece[] }) {
  return <span>{props.pieces.map((piece, at) => (piece.hit ? <mark key={at}>{piece.text}</mark> : piece.text))}</span>;
}
