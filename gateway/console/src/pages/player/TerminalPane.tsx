/** A terminal session at the clock's moment, as text that can be selected, and what was typed. */

import { useEffect, useRef, useState } from "preact/hooks";
import { joinTyped, readTyped, type Typed } from "../../player/keys";
import { countUntil, sessionsAt, type Notes, type TerminalEvent } from "../../player/notes";
import type { Picture, Run, TerminalReplay } from "../../player/terminal";
import { formatClock } from "../../ui/format";
import { Trouble } from "../../ui/parts";
import type { Replay } from "./replay";
import { SealedLine, SealedNotice } from "./SealedNotice";

const SCROLLBACK = 400;
const TYPED_SHOWN = 120;

export function TerminalPane({ replay }: { replay: Replay }) {
  const [chosen, choose] = useState("");
  const at = replay.coarse.value;
  void replay.version.value;
  const window = replay.text.at(at);
  const sessions = window?.state === "ready" ? sessionsAt(window.value, at + 250) : [];
  const session = sessions.find((one) => one.id === chosen) ?? sessions[0];
  if (window?.state === "failed") return <Trouble error={window.error} again={() => replay.retry()} />;
  if (!session) return <NoTerminal notes={window?.value} loading={window?.state !== "ready"} />;
  return (
    <div class="terminal-pane">
      {window!.value.sealed.get("keystrokes") ? <SealedLine /> : undefined}
      {sessions.length > 1 && (
        <select aria-label="Terminal session" value={session.id} onChange={(event) => choose(event.currentTarget.value)}>
          {sessions.map((one) => (
            <option key={one.id} value={one.id}>
              {formatClock(one.events[0]!.time_us / 1000)} {new TextDecoder().decode(commandOf(one.events))}
            </option>
          ))}
        </select>
      )}
      <Screen key={session.id} events={session.events} replay={replay} />
      <TypedKeys events={session.events} at={at + 250} />
    </div>
  );
}

const commandOf = (events: readonly TerminalEvent[]) => events.find((event) => event.kind === "start")?.data ?? new Uint8Array();

function NoTerminal({ notes, loading }: { notes: Notes | undefined; loading: boolean }) {
  if (notes?.sealed.get("keystrokes")) return <SealedNotice what="The terminals of this time" />;
  return <p class="no-picture quiet">{loading ? "Loading terminals" : "No terminal was open at this time."}</p>;
}

function Screen({ events, replay }: { events: readonly TerminalEvent[]; replay: Replay }) {
  const [picture, setPicture] = useState<Picture | undefined>(undefined);
  const [emulation, setEmulation] = useState<TerminalReplay | undefined>(undefined);
  const box = useRef<HTMLDivElement>(null);
  const at = replay.coarse.value;
  const playing = replay.playing.value;
  useEffect(() => {
    let made: TerminalReplay | undefined;
    let gone = false;
    // The emulation is large; the screens come first.
    void import("../../player/terminal").then((module) => {
      if (gone) return;
      made = new module.TerminalReplay(events);
      setEmulation(made);
    });
    return () => {
      gone = true;
      made?.dispose();
    };
  }, [events]);
  useEffect(() => {
    let gone = false;
    void emulation?.show(replay.playing.peek() ? at : replay.at.peek()).then(() => {
      if (!gone) setPicture(emulation.picture(playing ? 0 : SCROLLBACK));
    });
    return () => {
      gone = true;
    };
  }, [emulation, at, playing]);
  useEffect(() => box.current?.scrollTo(0, box.current.scrollHeight), [picture]);
  if (!picture) return null;
  const lines = picture.lines.slice(0, picture.lines.findLastIndex((line) => line.some((run) => run.cursor || run.text.trim())) + 1);
  return (
    <>
      <p class="terminal-title quiet">
        {picture.title || "Terminal"} · {picture.columns}×{picture.rows}
        {picture.exitCode !== undefined && ` · ended ${formatClock(events.at(-1)!.time_us / 1000)}${picture.exitCode === null ? "" : `, exit code ${picture.exitCode}`}`}
      </p>
      <div class="terminal" ref={box} role="region" aria-label="Terminal" tabIndex={0}>
        {lines.map((line, number) => (
          <div key={number} class="line">
            {line.length ? line.map((run, place) => <Piece key={place} run={run} />) : "\n"}
          </div>
        ))}
      </div>
    </>
  );
}

function Piece({ run }: { run: Run }) {
  const classes = [run.look, run.cursor ? "cursor" : "", classOf("c", run.colour), classOf("g", run.ground)].filter(Boolean).join(" ");
  const own = { ...ownColour("color", run.colour), ...ownColour("backgroundColor", run.ground) };
  return (
    <span class={classes || undefined} style={own}>
      {run.text}
    </span>
  );
}

const classOf = (letter: string, colour: number | string | undefined) =>
  colour === undefined || String(colour).startsWith("#") ? "" : `${letter}-${colour}`;
const ownColour = (property: string, colour: number | string | undefined) =>
  typeof colour === "string" && colour.startsWith("#") ? { [property]: colour } : {};

function TypedKeys({ events, at }: { events: readonly TerminalEvent[]; at: number }) {
  const inputs = events.slice(0, countUntil(events, at * 1000)).filter((event) => event.kind === "input").slice(-TYPED_SHOWN);
  const pieces = joinTyped(inputs.flatMap((event) => readTyped(event.time_us / 1000, event.data, event.masked))).slice(-60);
  return (
    <div class="typed" aria-label="Typed" role="group">
      <h2>Typed</h2>
      {pieces.length ? pieces.map((piece, number) => <Key key={number} piece={piece} />) : <span class="quiet">Nothing yet</span>}
    </div>
  );
}

function Key({ piece }: { piece: Typed }) {
  if (piece.kind === "text") return <span>{piece.text}</span>;
  return piece.kind === "key" ? <kbd>{piece.text}</kbd> : <span class="badge">{piece.text}</span>;
}
