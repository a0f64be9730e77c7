/**
 * The overview as it changes: server-sent events while they come, and a new connection by and by while they do not.
 * Never calls old numbers live: how old they are is told with them.
 */

import { useEffect, useState } from "preact/hooks";
import { getQuietly } from "../../api/background";
import { ApiError, subscribe } from "../../api/client";
import type { Picture } from "./answers";

/** After so long without an event the connection counts as lost, whatever the browser thinks of it. */
const LOST_MS = 7000;
const AGAIN_MS = 5000;
const TICK_MS = 1000;

export interface Live {
  picture: Picture | undefined;
  /** By this browser's clock. */
  takenMs: number;
  connected: boolean;
  ageMs: number;
  error: unknown;
}

export function useLive(): Live {
  const [live, setLive] = useState<Omit<Live, "ageMs">>({ picture: undefined, takenMs: 0, connected: false, error: undefined });
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    let stop = () => {};
    let begun = 0;
    let taken = 0;
    let gone = false;
    let asked = false;
    const take = (picture: Picture) => {
      taken = Date.now();
      setNow(taken);
      setLive({ picture, takenMs: taken, connected: true, error: undefined });
    };
    const begin = () => {
      stop();
      begun = Date.now();
      stop = subscribe<Picture>(
        "/overview/events",
        (value, name) => name === "overview" && take(value),
        ["overview", "end"],
        (yes) => {
          if (yes) return;
          setLive((before) => ({ ...before, connected: false }));
          if (!taken && !asked) ask(); // where nothing is shown yet, why is told at once
        },
      );
    };
    const look = () => {
      const at = Date.now();
      setNow(at);
      if (at - taken < LOST_MS) return;
      setLive((before) => (before.connected ? { ...before, connected: false } : before));
      if (at - begun < AGAIN_MS) return;
      begin();
      ask();
    };
    const ask = () => {
      asked = true;
      getQuietly<Picture>("/overview").then(
        (picture) => !gone && take(picture),
        (error: unknown) => !gone && error instanceof ApiError && setLive((before) => ({ ...before, error })),
      );
    };
    begin();
    const timer = setInterval(look, TICK_MS);
    return () => {
      gone = true;
      clearInterval(timer);
      stop();
    };
  }, []);
  return { ...live, ageMs: Math.max(0, now - live.takenMs) };
}
