/** The displays at the clock's moment, side by side or one, as large as there is room or pixel by pixel. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { query, setQuery } from "../../app/router";
import type { ReadDocument } from "../../player/answers";
import { splitKey } from "../../player/tape";
import { holds } from "../../player/stretches";
import { Button, Trouble } from "../../ui/parts";
import { Display } from "./Display";
import { GapNotice } from "./GapNotice";
import type { Replay } from "./replay";
import { SealedNotice } from "./SealedNotice";

export function ScreenPane(props: { replay: Replay; documents: readonly ReadDocument[] }) {
  const { replay } = props;
  const exact = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const at = replay.coarse.value;
  void replay.version.value;
  const window = replay.media.at(at);
  const keys = replay.displaysAt(at);
  const chosen = query.value.get("display");
  const shown = chosen && keys.includes(chosen) ? [chosen] : keys;
  useEffect(() => {
    const act = (event: Event) => {
      if ((event as CustomEvent<string>).detail === "fullscreen") void toggleFullscreen(box.current!);
      else exact.value = !exact.value;
    };
    addEventListener("player-screen", act);
    return () => removeEventListener("player-screen", act);
  }, []);
  return (
    <section class="screens" ref={box} aria-label="Screens">
      <div class={`displays count-${Math.min(4, shown.length)}`}>
        {shown.map((key) => (
          <Display key={key} id={key} replay={replay} exact={exact.value} documents={props.documents} />
        ))}
        {!shown.length && <NoPicture replay={replay} at={at} failed={window?.state === "failed" ? window.error : undefined} />}
      </div>
      {replay.told.value && (
        <p class="told" role="status">
          {replay.told.value}
        </p>
      )}
      <div class="screen-tools">
        {keys.length > 1 && (
          <select aria-label="Display" value={chosen ?? ""} onChange={(event) => setQuery({ display: event.currentTarget.value })}>
            <option value="">All displays</option>
            {keys.map((key) => (
              <option key={key} value={key}>
                {nameOf(key, replay)}
              </option>
            ))}
          </select>
        )}
        <Button small kind="plain" aria-pressed={exact.value} onClick={() => (exact.value = !exact.value)}>
          1:1
        </Button>
        <Button small kind="plain" onClick={() => void toggleFullscreen(box.current!)}>
          Full screen
        </Button>
      </div>
    </section>
  );
}

export function nameOf(key: string, replay: Replay): string {
  const { agent, display } = splitKey(key);
  return `${replay.computers.get(agent) ?? "a computer"}, display ${display + 1}`;
}

async function toggleFullscreen(element: HTMLElement): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await element.requestFullscreen();
}

/** Why there is no picture: each reason says what it is. */
function NoPicture({ replay, at, failed }: { replay: Replay; at: number; failed: unknown }) {
  const window = replay.media.at(at);
  const gap = replay.timeline.gaps.find((one) => one.stream === "screen" && holds(one, at));
  if (failed) {
    return (
      <div class="no-picture">
        <Trouble error={failed} again={() => replay.retry()} />
      </div>
    );
  }
  if (gap) return <GapNotice gap={gap} />;
  if (window?.value.sealed.get("screen")) return <SealedNotice what="The screens of this time" />;
  if (!window || window.state === "loading") {
    return (
      <p class="no-picture quiet" role="status">
        Loading the picture
      </p>
    );
  }
  const damaged = window.value.damaged > 0;
  return <p class="no-picture quiet">{damaged ? "The recording of this time is damaged and cannot be shown." : "No picture was recorded at this time."}</p>;
}
