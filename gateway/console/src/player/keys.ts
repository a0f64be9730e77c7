/**
 * What somebody typed, as it reads: text as it is, keys by their signs.
 * Never says more of masked input than that there was some.
 */

const NAMED: Record<string, string> = {
  "\r": "⏎", "\n": "⏎", "\t": "⇥", "\x7f": "⌫", "\b": "⌫", "\x1b": "esc",
  "\x1b[A": "↑", "\x1b[B": "↓", "\x1b[C": "→", "\x1b[D": "←",
  "\x1bOA": "↑", "\x1bOB": "↓", "\x1bOC": "→", "\x1bOD": "←",
  "\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end",
  "\x1b[3~": "del", "\x1b[5~": "page up", "\x1b[6~": "page down", "\x1b[2~": "ins",
  "\x1b[200~": "paste", "\x1b[201~": "",
};

/** A piece of what was typed: plain text, a key, or that something was typed and not kept. */
export interface Typed {
  readonly at: number;
  readonly text: string;
  readonly kind: "text" | "key" | "masked";
}

// Control sequences as terminals send them, else one character.
const TOKEN = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O[ -~])|[\s\S]/gu;

/** The pieces of one input event. */
export function readTyped(at: number, data: Uint8Array, masked: boolean): Typed[] {
  if (masked) return [{ at, text: "hidden, not kept", kind: "masked" }];
  const pieces: Typed[] = [];
  for (const [token] of new TextDecoder().decode(data).matchAll(TOKEN)) {
    const named = NAMED[token] ?? nameControl(token);
    const last = pieces.at(-1);
    if (named === "") continue;
    if (named !== undefined) pieces.push({ at, text: named, kind: "key" });
    else if (last?.kind === "text") pieces[pieces.length - 1] = { ...last, text: last.text + token };
    else pieces.push({ at, text: token, kind: "text" });
  }
  return pieces;
}

function nameControl(token: string): string | undefined {
  if (token.length > 1 && token.startsWith("\x1b")) return "key";
  const code = token.codePointAt(0)!;
  return code < 32 ? `^${String.fromCharCode(code + 64)}` : undefined;
}

/** Pieces one after the other, text that follows text joined; adjoining masked ones are one. */
export function joinTyped(pieces: readonly Typed[]): Typed[] {
  const joined: Typed[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last && last.kind === piece.kind && piece.kind === "text") joined[joined.length - 1] = { ...last, text: last.text + piece.text };
    else if (last?.kind === "masked" && piece.kind === "masked") continue;
    else joined.push(piece);
  }
  return joined;
}
