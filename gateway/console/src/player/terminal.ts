/**
 * A terminal session replayed: recorded output and sizes through a real emulation, to any moment.
 * Never answers the recorded program, and makes no markup: what is on the screen is text with its colours.
 */

import { Terminal, type IBufferCell } from "@xterm/headless";
import { countUntil, type TerminalEvent } from "./notes";

/** Characters that look alike. Colours: a number of the palette, `#rrggbb`, or none for the terminal's own. */
export interface Run {
  readonly text: string;
  readonly colour: number | string | undefined;
  readonly ground: number | string | undefined;
  /** Classes of its look, such as `bold dim`. */
  readonly look: string;
  readonly cursor: boolean;
}

export interface Picture {
  readonly columns: number;
  readonly rows: number;
  readonly lines: readonly (readonly Run[])[];
  readonly title: string;
  readonly exitCode: number | null | undefined;
}

const SCROLLBACK = 2000;
const CHUNK_BYTES = 32 * 1024;

export class TerminalReplay {
  readonly #events: readonly TerminalEvent[];
  readonly #terminal: Terminal;
  #done = 0;
  #title = "";
  #exitCode: number | null | undefined;
  #busy: Promise<void> = Promise.resolve();

  /** `events` of one session, oldest first, from its start or as early as there are any. */
  constructor(events: readonly TerminalEvent[]) {
    this.#events = events;
    this.#terminal = new Terminal({ allowProposedApi: true, scrollback: SCROLLBACK, cols: 80, rows: 24 });
    this.#terminal.onTitleChange((title) => (this.#title = title));
  }

  /** Bring the terminal to the moment, in milliseconds; calls follow one another. */
  async show(at: number): Promise<void> {
    const before = this.#busy;
    this.#busy = before.then(() => this.#run(at));
    await this.#busy;
  }

  async #run(at: number): Promise<void> {
    const wanted = countUntil(this.#events, at * 1000);
    if (wanted < this.#done) this.#reset();
    let chunk: Uint8Array[] = [];
    let size = 0;
    for (const event of this.#events.slice(this.#done, wanted)) {
      if (event.kind === "output") {
        chunk.push(event.data);
        size += event.data.length;
      } else if (event.kind !== "input") {
        await this.#write(chunk);
        [chunk, size] = [[], 0];
        await this.#take(event);
      }
      if (size < CHUNK_BYTES) continue;
      await this.#write(chunk);
      [chunk, size] = [[], 0];
    }
    await this.#write(chunk);
    this.#done = wanted;
  }

  #reset(): void {
    this.#terminal.reset();
    this.#done = 0;
    this.#title = "";
    this.#exitCode = undefined;
  }

  /** Output at once: the emulation itself works in slices. */
  #write(chunk: readonly Uint8Array[]): Promise<void> {
    if (!chunk.length) return Promise.resolve();
    const whole = new Uint8Array(chunk.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    for (const one of chunk) {
      whole.set(one, at);
      at += one.length;
    }
    return new Promise((resolve) => this.#terminal.write(whole, resolve));
  }

  async #take(event: TerminalEvent): Promise<void> {
    const { columns, rows } = event;
    if (columns > 0 && rows > 0 && columns <= 1000 && rows <= 500) this.#terminal.resize(columns, rows);
    if (event.kind === "end") this.#exitCode = event.exit_code;
    if (event.kind !== "start") return;
    if (event.title) this.#title = event.title;
    const full = this.#terminal.buffer.active.type === "alternate";
    if (event.alternate && !full) await this.#write([new TextEncoder().encode("\x1b[?1049h")]);
  }

  /** What is on it; `scrollback` lines above the screen too. */
  picture(scrollback = 0): Picture {
    const buffer = this.#terminal.buffer.active;
    const from = Math.max(0, buffer.baseY - scrollback);
    const cursorAt = this.#exitCode === undefined ? buffer.baseY + buffer.cursorY : -1;
    const lines: Run[][] = [];
    for (let y = from; y < buffer.baseY + this.#terminal.rows; y++) {
      lines.push(this.#readLine(y, y === cursorAt ? buffer.cursorX : -1));
    }
    return { columns: this.#terminal.cols, rows: this.#terminal.rows, lines, title: this.#title, exitCode: this.#exitCode };
  }

  dispose(): void {
    this.#terminal.dispose();
  }

  #readLine(y: number, cursorX: number): Run[] {
    const line = this.#terminal.buffer.active.getLine(y);
    const runs: Run[] = [];
    if (!line) return runs;
    const length = Math.max(line.translateToString(true).length, cursorX + 1);
    let cell: IBufferCell | undefined;
    for (let x = 0, used = 0; x < line.length && used < Math.max(length, cursorX + 1); x++) {
      cell = line.getCell(x, cell);
      if (!cell || cell.getWidth() === 0) continue;
      const text = cell.isInvisible() ? " " : cell.getChars() || " ";
      used += text.length;
      append(runs, text, cell, x === cursorX);
    }
    return runs;
  }
}

function append(runs: Run[], text: string, cell: IBufferCell, cursor: boolean): void {
  const [colour, ground] = cell.isInverse() ? [groundOf(cell) ?? "ground", colourOf(cell) ?? "text"] : [colourOf(cell), groundOf(cell)];
  const look = LOOKS.filter(([, is]) => is(cell)).map(([name]) => name).join(" ");
  const last = runs.at(-1);
  if (last && last.colour === colour && last.ground === ground && last.look === look && last.cursor === cursor) {
    runs[runs.length - 1] = { ...last, text: last.text + text };
  } else runs.push({ text, colour, ground, look, cursor });
}

const LOOKS: readonly (readonly [string, (cell: IBufferCell) => number])[] = [
  ["bold", (cell) => cell.isBold()],
  ["dim", (cell) => cell.isDim()],
  ["italic", (cell) => cell.isItalic()],
  ["under", (cell) => cell.isUnderline()],
  ["struck", (cell) => cell.isStrikethrough()],
];

const colourOf = (cell: IBufferCell) => readColour(cell.isFgPalette(), cell.isFgRGB(), cell.getFgColor());
const groundOf = (cell: IBufferCell) => readColour(cell.isBgPalette(), cell.isBgRGB(), cell.getBgColor());

/** The first sixteen are the theme's; the others have values of their own. */
function readColour(palette: boolean, rgb: boolean, value: number): number | string | undefined {
  if (rgb) return hex(value >> 16, (value >> 8) & 255, value & 255);
  if (!palette) return undefined;
  if (value < 16) return value;
  if (value >= 232) return hex(...(Array(3).fill(8 + 10 * (value - 232)) as [number, number, number]));
  const step = (digit: number) => (digit ? 55 + 40 * digit : 0);
  const cube = value - 16;
  return hex(step(Math.floor(cube / 36)), step(Math.floor(cube / 6) % 6), step(cube % 6));
}

const hex = (...parts: [number, number, number]) => `#${parts.map((one) => one.toString(16).padStart(2, "0")).join("")}`;

/** The text of a line, without the spaces at its end. */
export function textOf(line: readonly Run[]): string {
  return line.map((run) => run.text).join("").trimEnd();
}
