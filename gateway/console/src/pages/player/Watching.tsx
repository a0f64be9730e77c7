/** One day of one person, being watched: panes, controls, timeline and keys, tied to one replay. */

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import { query, setQuery } from "../../app/router";
import type { Stretch, TimelineAnswer } from "../../player/answers";
import { follow, zoom, type View } from "../../player/layout";
import { inOrder, nextMarker, ofAlerts, ofGaps, ofHits } from "../../player/markers";
import { colourNumbers, tracksOf } from "../../player/tracks";
import { Empty, Tabs } from "../../ui/parts";
import { ActivityPane } from "./ActivityPane";
import { ClipDialog } from "./ClipDialog";
import { KeysDialog } from "./KeysDialog";
import { MailPane } from "./MailPane";
import { MarkerPane } from "./MarkerPane";
import { Replay } from "./replay";
import { ScreenPane } from "./ScreenPane";
import { TerminalPane } from "./TerminalPane";
import { Timeline } from "./Timeline";
import { Transport } from "./Transport";
import { useDocuments, useFinds } from "./useFinds";
import { useKeys } from "./useKeys";

type Pane = "screen" | "terminal" | "mail" | "activity" | "markers";

const PANES: readonly (readonly [Pane, string])[] = [
  ["screen", "Screen"], ["terminal", "Terminal"], ["mail", "Email"], ["activity", "Activity"], ["markers", "Markers"],
];
const AROUND_MS = 15 * 60_000;
const WHOLE_MS = 4 * 60 * 60_000;
const ADDRESS_MS = 400;

export function Watching({ timeline, at, day, now }: { timeline: TimelineAnswer; at: number; day: View; now: number }) {
  const replay = useReplay(timeline, now);
  if (!timeline.spans.length && !timeline.gaps.length && !timeline.activity.length) {
    return (
      <Empty title="Nothing was recorded on this day">
        <p>Choose another day above. If there should be something, look at the agent's state in the overview.</p>
      </Empty>
    );
  }
  return replay ? <Day replay={replay} at={at} day={day} /> : null;
}

/** The replay lives as long as the view, and follows the address when that goes elsewhere. */
function useReplay(timeline: TimelineAnswer, now: number): Replay | undefined {
  const [replay, setReplay] = useState<Replay | undefined>(undefined);
  useEffect(() => {
    const made = new Replay(timeline, Number(query.peek().get("at")) || timeline.since_ms, now);
    setReplay(made);
    return () => made.close();
  }, [timeline]);
  return replay;
}

function Day({ replay, at, day }: { replay: Replay; at: number; day: View }) {
  const { timeline } = replay;
  const q = query.value.get("q") ?? "";
  const finds = useFinds(q, timeline);
  const documents = useDocuments(finds.data ?? [], q, replay.coarse.value);
  const markers = useMemo(
    () => inOrder(ofHits(finds.data ?? []), ofAlerts(timeline.alerts), ofGaps(timeline.gaps)),
    [finds.data, timeline],
  );
  const tracks = useMemo(() => tracksOf(timeline), [timeline]);
  const colourOf = useMemo(() => colourNumbers(timeline.activity), [timeline]);
  const limits = useMemo<View>(() => ({ from: day.from, until: day.until }), [day.from, day.until]);
  const view = useSignal<View>(around(replay, limits));
  const dialog = useSignal<"" | "keys" | "clip">("");
  useAddress(replay, at);
  useEffect(() => replay.at.subscribe((moment) => replay.playing.peek() && (view.value = follow(view.peek(), moment, limits))), [replay]);
  const go = (direction: 1 | -1) => {
    const marker = nextMarker(markers, replay.at.peek(), direction > 0);
    if (!marker) return replay.tell(direction > 0 ? "There is no marker after this" : "There is no marker before this");
    replay.seek(marker.at);
    view.value = follow(view.peek(), marker.at, limits);
  };
  useKeys(replay, {
    go,
    gap: () => {
      const gap = nextMarker(markers.filter((marker) => marker.kind === "gap"), replay.at.peek());
      if (gap) replay.seek(gap.at);
      else replay.tell("There is no gap after this");
    },
    zoom: (factor) => (view.value = zoom(view.value, factor, replay.at.peek(), limits)),
    open: (name) => (dialog.value = name),
  });
  const chosen = chosenOf(replay);
  const panes = { replay, markers, q, loading: finds.loading, error: finds.error, colourOf, documents };
  return (
    <>
      <Panes {...panes} />
      <Transport replay={replay} markers={markers.length} go={go} showKeys={() => (dialog.value = "keys")} makeClip={() => (dialog.value = "clip")} />
      <Timeline replay={replay} tracks={tracks} markers={markers} colourOf={colourOf} chosen={chosen} view={view} limits={limits} />
      {dialog.value === "keys" && <KeysDialog close={() => (dialog.value = "")} />}
      {dialog.value === "clip" && <ClipDialog replay={replay} chosen={chosen} close={() => (dialog.value = "")} />}
    </>
  );
}

type PaneProps = Parameters<typeof MarkerPane>[0] & Parameters<typeof ScreenPane>[0] & Parameters<typeof ActivityPane>[0];

/** The screen and one pane beside it; on narrow screens one of them. */
function Panes(props: PaneProps) {
  const { replay } = props;
  const pane = (query.value.get("pane") as Pane | null) ?? "screen";
  const side = pane === "screen" ? (replay.timeline.spans.some((span) => span.stream === "keystrokes") ? "terminal" : "activity") : pane;
  return (
    <div class={`panes shows-${pane}`}>
      <div class="pane-tabs">
        <Tabs label="Panes" names={PANES} chosen={pane} choose={(name) => setQuery({ pane: name })} />
      </div>
      <ScreenPane replay={replay} documents={props.documents} />
      <aside class="side-pane" aria-label="Beside the screen">
        <div class="side-tabs">
          <Tabs label="Beside the screen" names={PANES.slice(1)} chosen={side} choose={(name) => setQuery({ pane: name })} />
        </div>
        <div class="side-body">
          {side === "terminal" && <TerminalPane replay={replay} />}
          {side === "mail" && <MailPane replay={replay} />}
          {side === "activity" && <ActivityPane replay={replay} colourOf={props.colourOf} />}
          {side === "markers" && <MarkerPane key={props.q} {...props} />}
        </div>
      </aside>
    </div>
  );
}

/** All that there is, when it is not more than some hours, else what is around the moment, or around the gap that it is in. */
function around(replay: Replay, limits: View): View {
  const { from_ms, until_ms } = replay.whole;
  const at = replay.at.peek();
  const edge = Math.max(15_000, (until_ms - from_ms) * 0.02);
  const whole = { from: Math.max(limits.from, from_ms - edge), until: Math.min(limits.until, until_ms + edge) };
  if (until_ms - from_ms <= WHOLE_MS && whole.from <= at && at <= whole.until) return whole;
  const gap = replay.timeline.gaps.find((one) => one.from_ms <= at && at <= one.until_ms) ?? { from_ms: at, until_ms: at };
  const margin = Math.max(AROUND_MS, (gap.until_ms - gap.from_ms) / 4);
  return zoom({ from: gap.from_ms - margin, until: gap.until_ms + margin }, 1, at, limits);
}

/** The moment into the address while it stands, and out of it when somebody goes elsewhere. */
function useAddress(replay: Replay, at: number): void {
  const written = useSignal(at);
  useEffect(() => {
    if (at === written.peek()) return;
    written.value = at;
    replay.seek(at);
  }, [at]);
  const moment = replay.coarse.value;
  const playing = replay.playing.value;
  const quarter = playing ? Math.floor(moment / 5000) : moment;
  useEffect(() => {
    const timer = setTimeout(() => {
      const rounded = Math.ceil(replay.at.peek());
      if (rounded === written.peek()) return;
      written.value = rounded;
      setQuery({ at: String(rounded) });
    }, ADDRESS_MS);
    return () => clearTimeout(timer);
  }, [quarter, playing]);
}

/** What the address says of a clip: `from` and `until`. */
function chosenOf(replay: Replay): Stretch | undefined {
  const from_ms = Number(query.value.get("from")) || replay.at.peek();
  const until_ms = Number(query.value.get("until"));
  return until_ms > from_ms && (query.value.get("from") || query.value.get("until")) ? { from_ms, until_ms } : undefined;
}
