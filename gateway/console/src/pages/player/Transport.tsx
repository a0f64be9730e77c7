/** The controls of the clock. Each has its key, which `?` lists. */

import { useEffect, useRef } from "preact/hooks";
import { RATES, type Rate } from "../../player/clock";
import { SoundPlayer, LOUDEST_RATE } from "../../player/sound";
import { formatClock } from "../../ui/format";
import { Button } from "../../ui/parts";
import type { Replay } from "./replay";

export function Transport(props: { replay: Replay; markers: number; go: (direction: 1 | -1) => void; showKeys: () => void; makeClip: () => void }) {
  const { replay } = props;
  const playing = replay.playing.value;
  const audible = replay.timeline.spans.some((span) => span.stream === "audio") && SoundPlayer.supported;
  return (
    <div class="transport" role="group" aria-label="Playing">
      <Button kind="primary" class="play" aria-label={playing ? "Pause" : "Play"} onClick={() => replay.toggle()}>
        {playing ? <PauseIcon /> : <PlayIcon />}
      </Button>
      <Button kind="plain" small title="5 seconds back (←)" onClick={() => replay.seek(replay.at.peek() - 5000)}>
        −5 s
      </Button>
      <Button kind="plain" small title="5 seconds forth (→)" onClick={() => replay.seek(replay.at.peek() + 5000)}>
        +5 s
      </Button>
      <Button kind="plain" small aria-label="One frame back" title="One frame back (,)" onClick={() => replay.step(-1)}>
        ‹|
      </Button>
      <Button kind="plain" small aria-label="One frame forth" title="One frame forth (.)" onClick={() => replay.step(1)}>
        |›
      </Button>
      <span class="clock">
        <time>{formatClock(replay.coarse.value)}</time>
        {replay.waiting.value && playing && <span class="quiet"> loading</span>}
      </span>
      <select
        aria-label="Speed"
        class="rate"
        value={String(replay.rate.value)}
        onChange={(event) => replay.setRate(Number(event.currentTarget.value) as Rate)}
      >
        {RATES.map((rate) => (
          <option key={rate} value={String(rate)}>
            {rate}×
          </option>
        ))}
      </select>
      <label class="skip-idle">
        <input type="checkbox" checked={replay.skipsIdle.value} onChange={(event) => (replay.skipsIdle.value = event.currentTarget.checked)} />
        Skip idle
      </label>
      {audible && <SoundSwitch replay={replay} />}
      <span class="space" />
      {props.markers > 0 && (
        <>
          <Button kind="plain" small aria-label="The marker before" title="The marker before (N)" onClick={() => props.go(-1)}>
            ‹ marker
          </Button>
          <Button kind="plain" small aria-label="The next marker" title="The next marker (n)" onClick={() => props.go(1)}>
            marker ›
          </Button>
        </>
      )}
      <Button small onClick={props.makeClip}>
        Export
      </Button>
      <Button kind="plain" small aria-label="Keys of the player" title="Keys of the player (?)" onClick={props.showKeys}>
        ?
      </Button>
    </div>
  );
}

function SoundSwitch({ replay }: { replay: Replay }) {
  const bar = useRef<HTMLElement>(null);
  const on = replay.sounding.value;
  useEffect(() => {
    if (!on) return undefined;
    const timer = setInterval(() => {
      if (bar.current) bar.current.style.width = `${Math.round(100 * replay.level)}%`;
    }, 80);
    return () => clearInterval(timer);
  }, [on]);
  const mute = on && replay.rate.value > LOUDEST_RATE;
  return (
    <span class="sound">
      <Button small aria-pressed={on} onClick={() => replay.toggleSound()}>
        Sound
      </Button>
      {on && (
        <span class="bar level" role="img" aria-label="Level of the sound">
          <span ref={bar} />
        </span>
      )}
      {mute && <span class="quiet">silent over {LOUDEST_RATE}×</span>}
    </span>
  );
}

const PlayIcon = () => (
  <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path d="M4 2l10 6-10 6z" fill="currentColor" />
  </svg>
);
const PauseIcon = () => (
  <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path d="M3 2h4v12H3zM9 2h4v12H9z" fill="currentColor" />
  </svg>
);
