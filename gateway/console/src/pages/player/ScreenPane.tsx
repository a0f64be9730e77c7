/** The displays at the clock's moment, side by side or one, as large as there is room or pixel by pixel. */

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { query, setQuery } from "../../app/router";
import type { ReadDocument } from "../../player/answers";
import { panesOf, type Pane } from "../../player/picture";
import { splitKey } from "../../player/tape";
import { Button, Trouble } from "../../ui/parts";
import { unlockSource } from "../../unlocking/current";
import { Display } from "./Display";
import { GapNotice, NothingNotice } from "./GapNotice";
import { nameOf } from "./naming";
import { ReadText } from "./ReadText";
import type { Replay } from "./replay";
import { SealedNotice } from "./SealedNotice";

export function ScreenPane(props: { replay: Replay; documents: readonly ReadDocument[] }) {
  const { replay } = props;
  const exact = useSignal(false);
  const reads = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const at = replay.coarse.value;
  void replay.version.value;
  const panes = findPanes(replay);
  const chosen = query.value.get("display");
  const shown = panes.some((pane) => pane.key === chosen) ? panes.filter((pane) => pane.key === chosen) : panes;
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
        {shown.map((pane) => (
          <OnePane key={pane.key} pane={pane} replay={replay} exact={exact.value} documents={props.documents} />
        ))}
        {!shown.length && <NoPane replay={replay} at={at} />}
      </div>
      {reads.value && <ReadText replay={replay} agents={shown.map((pane) => pane.agentId)} />}
      {replay.told.value && (
        <p class="told" role="status">
          {replay.told.value}
        </p>
      )}
      <Tools replay={replay} panes={panes} chosen={chosen ?? ""} exact={exact} reads={reads} fullscreen={() => void toggleFullscreen(box.current!)} />
    </section>
  );
}

function findPanes(replay: Replay): Pane[] {
  const at = replay.at.peek();
  const shots = new Map(
    replay.displaysAt(at).map((key) => {
      return [key, { agentId: splitKey(key).agent, shotAt: replay.media.at(at)?.value.shotAt(key, at) }];
    }),
  );
  return panesOf(replay.timeline, at, shots);
}

function OnePane({ pane, replay, ...rest }: { pane: Pane; replay: Replay; exact: boolean; documents: readonly ReadDocument[] }) {
  const opening = unlockSource.value && replay.media.at(replay.at.peek())?.state === "loading";
  if (pane.state.is === "shown") return <Display id={pane.key} replay={replay} {...rest} />;
  return (
    <div class="display">
      {pane.state.is === "gap" && <GapNotice gap={pane.state.gap} />}
      {pane.state.is === "sealed" && !opening && <SealedNotice what="The screens of this time" />}
      {pane.state.is === "sealed" && opening && <p class="no-picture">Opening</p>}
    </div>
  );
}

/** There is nothing to see: each reason says what it is. */
function NoPane({ replay, at }: { replay: Replay; at: number }) {
  const window = replay.media.at(at);
  if (window?.state === "failed") {
    return (
      <div class="no-picture">
        <Trouble error={window.error} again={() => replay.retry()} />
      </div>
    );
  }
  if (window?.state === "loading") {
    return (
      <p class="no-picture" role="status">
        Loading the picture
      </p>
    );
  }
  if (window?.value.damaged) return <p class="no-picture">The recording of this time is damaged and cannot be shown.</p>;
  return <NothingNotice replay={replay} at={at} />;
}

function Tools(props: {
  replay: Replay; panes: readonly Pane[]; chosen: string; exact: Signal<boolean>; reads: Signal<boolean>; fullscreen: () => void;
}) {
  const { replay, panes, exact, reads } = props;
  return (
    <div class="screen-tools">
      {panes.length > 1 && (
        <select aria-label="Display" value={props.chosen} onChange={(event) => setQuery({ display: event.currentTarget.value })}>
          <option value="">All displays</option>
          {panes.map((pane) => (
            <option key={pane.key} value={pane.key}>
              {nameOf(pane.key, replay)}
            </option>
          ))}
        </select>
      )}
      <Button small kind="plain" aria-pressed={reads.value} onClick={() => (reads.value = !reads.value)}>
        Text
      </Button>
      <Button small kind="plain" aria-pressed={exact.value} onClick={() => (exact.value = !exact.value)}>
        1:1
      </Button>
      <Button small kind="plain" onClick={props.fullscreen}>
        Full screen
      </Button>
    </div>
  );
}

async function toggleFullscreen(element: HTMLElement): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await element.requestFullscreen();
}
