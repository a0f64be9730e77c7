/** Text with what was asked for marked. Never makes markup of it. */

import type { Pieces } from "../../blindsearch/pieces";

export function Marked(props: { pieces: Pieces }) {
  return <>{props.pieces.map((piece, at) => (piece.hit ? <mark key={at}>{piece.text}</mark> : piece.text))}</>;
}
