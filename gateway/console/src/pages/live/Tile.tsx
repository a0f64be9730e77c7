/** One agent as it happens: its displays, how late the picture is, and its sound. Never shows a picture that is over as live. */

import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { Hearing } from "../../live/hearing";
import type { LivePicture, Shown } from "../../live/picture";
import { may } from "../../app/session";
import { Badge, Button } from "../../ui/parts";
import { askToUnlock, unlockSession } from "../../unlocking/current";
import { told, type Watching } from "./watching";

export function Tile(props: { watching: Watching; stop: () => void }) {
  const { watching } = props;
  const { agent } = watching;
  const element = useRef<HTMLElement>(null);
  const name = `${agent.user} on ${agent.computer}`;
  useSight(element, watching);
  return (
    <article ref={element} class="live-tile card flush" aria-label={name} data-agent={agent.agent}>
      <header>
        <div class="who" title={name}>
          <strong>{agent.user}</strong>
          <span class="quiet">{agent.computer}</span>
        </div>
        <Lateness watching={watching} />
        <div class="buttons">
          {may("listen") && agent.audio && <Ear watching={watching} name={name} />}
          <Button small kind="plain" aria-label={`Full screen: ${name}`} title="Full screen" onClick={() => toggleFull(element.current!)}>
            <Icon path="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" />
          </Button>
          <Button small kind="plain" aria-label={`Stop: ${name}`} title="Stop" onClick={props.stop}>
            <Icon path="M3 3l10 10M13 3L3 13" />
          </Button>
        </div>
      </header>
      {watching.sound.value && <SoundState watching={watching} />}
      {agent.screen && (watching.picture.value ? <Displays watching={watching} picture={watching.picture.value} /> : <Closed watching={watching} />)}
    </article>
  );
}

/** A tile that left the sight is held after a moment: who scrolls past it does not stop it. */
const LEFT_MS = 1500;

function useSight(element: { current: HTMLElement | null }, watching: Watching): void {
  useEffect(() => {
    let near = true;
    let leaving: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(leaving);
      if (near && !document.hidden) watching.see(true);
      else leaving = setTimeout(() => watching.see(false), LEFT_MS);
    };
    const observer = new IntersectionObserver(
      (entries) => {
        near = entries.at(-1)!.isIntersecting;
        look();
      },
      { rootMargin: "100px" },
    );
    observer.observe(element.current!);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearTimeout(leaving);
      observer.disconnect();
      document.removeEventListener("visibilitychange", look);
    };
  }, [watching]);
}

function Icon({ path }: { path: string }) {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d={path} fill="none" stroke="currentColor" stroke-width="1.8" />
    </svg>
  );
}

function toggleFull(element: HTMLElement): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element.requestFullscreen();
}

function Closed(props: { watching: Watching }) {
  if (!props.watching.agent.end_to_end || unlockSession.value) return <p class="told">Beginning.</p>;
  return (
    <div class="told">
      <p>This screen is sealed to officers' keys. The server cannot open it; you can, in this page.</p>
      <Button kind="primary" small onClick={askToUnlock}>
        Unlock to watch
      </Button>
    </div>
  );
}

function Lateness(props: { watching: Watching }) {
  const connection = props.watching.screen.value;
  const picture = props.watching.picture.value;
  if (!connection || !picture) return null;
  const live = connection.phase.value === "open" && !told(connection, picture.displays.value.length > 0);
  const latency = picture.latencyMs.value;
  if (!live || latency === undefined) return <Badge>not live</Badge>;
  return (
    <Badge tone={latency > 3000 ? "warn" : "good"} title="From the moment that was captured to the picture here">
      <span class="dot" /> <span class="live-word">live, </span>
      <span data-latency={Math.round(latency)}>{seconds(latency)}</span>
    </Badge>
  );
}

function seconds(ms: number): string {
  return ms < 100 ? "< 0.1 s" : `${(ms / 1000).toFixed(1)} s`;
}

function Displays(props: { watching: Watching; picture: LivePicture }) {
  const { picture, watching } = props;
  const connection = watching.screen.value!;
  const displays = picture.displays.value;
  const words = told(connection, displays.length > 0);
  const fault = picture.fault.value;
  return (
    <>
      {words && (
        <div class="told" role="status">
          <p>{words}</p>
          {connection.phase.value === "ended" && (
            <Button small onClick={() => void watching.watch()}>
              Watch again
            </Button>
          )}
        </div>
      )}
      {fault === "sealed" && (
        <div class="told">
          <p>This screen is sealed to a key that is not open in this page.</p>
          <Button small onClick={askToUnlock}>
            Unlock another key
          </Button>
        </div>
      )}
      {fault === "damaged" && <p class="told">A frame could not be shown. The picture goes on with the next whole one.</p>}
      <div class={`displays ${words ? "stale" : ""}`}>
        {displays.map((shown) => (
          <Display key={shown.number} picture={picture} shown={shown} many={displays.length > 1} />
        ))}
      </div>
    </>
  );
}

function Display(props: { picture: LivePicture; shown: Shown; many: boolean }) {
  const { picture, shown } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => picture.attach(shown.number, canvas.current!), [picture, shown.number]);
  const front = [shown.application, shown.title].filter(Boolean).join(": ");
  return (
    <figure>
      <canvas ref={canvas} role="img" aria-label={`Display ${shown.number + 1}${front ? `, ${front}` : ""}`} />
      <figcaption>
        {props.many && <span>Display {shown.number + 1}</span>}
        <span class="front">{front}</span>
      </figcaption>
    </figure>
  );
}

function Ear(props: { watching: Watching; name: string }) {
  const { watching } = props;
  if (!Hearing.possible) return <span class="quiet">This browser cannot play live sound.</span>;
  const on = Boolean(watching.sound.value);
  return (
    <Button
      small
      kind="plain"
      aria-pressed={on}
      aria-label={`${on ? "Stop listening" : "Listen"} to ${props.name}`}
      onClick={() => (on ? watching.mute() : watching.listen())}
    >
      {on ? "Stop listening" : "Listen"}
    </Button>
  );
}

function SoundState(props: { watching: Watching }) {
  const { sound, hearing } = props.watching;
  const muted = useSignal(false);
  if (!sound.value || !hearing.value) return null;
  const heard = hearing.value;
  const words = told(sound.value, heard.loss.value.received > 0);
  const { lost, received } = heard.loss.value;
  const loudness = Math.round(heard.level.value * 100);
  const share = received + lost ? (100 * lost) / (received + lost) : 0;
  return (
    <div class="live-sound">
      <div class="meter" role="meter" aria-label="Loudness" aria-valuemin={0} aria-valuemax={100} aria-valuenow={loudness}>
        <span style={{ width: `${loudness}%` }} />
      </div>
      <span class="quiet" role="status">
        {words === "Waiting for the first picture." ? "Waiting for sound." : words || (heard.quiet.value ? "It is quiet there" : "Sound")}
      </span>
      {heard.latencyMs.value !== undefined && !words && (
        <span class="quiet">
          {seconds(heard.latencyMs.value)}{share >= 0.5 ? `, ${share.toFixed(1)} % lost` : ""}
        </span>
      )}
      <Button
        small
        kind="plain"
        aria-pressed={muted.value}
        onClick={() => (heard.muted = muted.value = !muted.value)}
      >
        {muted.value ? "Unmute" : "Mute"}
      </Button>
    </div>
  );
}
