/** A sealed screen, drawn in the page from its envelopes. Never stays after the lock. */

import { useEffect, useRef, useState } from "preact/hooks";
import { drawScreen } from "../../blindsearch/screen";
import { screenEnvelopes } from "../../blindsearch/server";
import { Loading, Trouble } from "../../ui/parts";
import { LockedError } from "../../unlock/errors";
import { unlockPurpose, unlockSession } from "../../unlocking/current";
import { useLock } from "../../unlocking/useLock";
import { formatTime } from "../../ui/format";
import type { Box } from "./answer";
import { Boxed, type Size } from "./Boxed";

type State = { size: Size } | { error: unknown } | "nothing" | "drawing";

export function SealedPicture(props: { agentId: string; display: number; atMs: number; boxes: readonly Box[]; person: string }) {
  const { agentId, display, atMs } = props;
  const session = unlockSession.value;
  const element = useRef<HTMLCanvasElement>(null);
  const [state, setState] = useState<State>("drawing");
  useEffect(() => {
    if (!session) return;
    const aborter = new AbortController();
    const draw = async () => {
      const envelopes = screenEnvelopes(agentId, atMs, unlockPurpose.peek(), aborter.signal);
      const drawn = await drawScreen(session, envelopes, display, atMs);
      const canvas = element.current;
      if (aborter.signal.aborted || session.locked || !canvas) return;
      if (!drawn) return setState("nothing");
      const { width, height, rgba } = drawn.canvas;
      [canvas.width, canvas.height] = [width, height];
      canvas.getContext("2d")!.putImageData(new ImageData(rgba, width, height), 0, 0);
      drawn.canvas.close();
      setState({ size: { width, height } });
    };
    setState("drawing");
    draw().catch((error: unknown) => {
      if (!aborter.signal.aborted && !(error instanceof LockedError)) setState({ error });
    });
    return () => {
      aborter.abort();
      forget(element.current);
    };
  }, [session, agentId, display, atMs]);
  useLock(() => forget(element.current));
  if (!session) return null;
  const size = typeof state === "object" && "size" in state ? state.size : undefined;
  return (
    <div class={`frame ${size ? "" : "blank"}`} data-opened="screen">
      {state === "drawing" && <Loading what="Fetching and opening the screen" />}
      {state === "nothing" && <span class="quiet">No picture of this moment opens with your keys</span>}
      {typeof state === "object" && "error" in state && <Trouble error={state.error} />}
      <Boxed size={size} boxes={props.boxes}>
        <canvas ref={element} hidden={!size} role="img" aria-label={`The screen of ${props.person}, ${formatTime(atMs)}`} />
      </Boxed>
    </div>
  );
}

/** Without a size it has no pixels. */
function forget(canvas: HTMLCanvasElement | null): void {
  if (canvas) [canvas.width, canvas.height] = [0, 0];
}
