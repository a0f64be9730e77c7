/** Export of a stretch: as a clip that is made in this page, or as text. The purpose is asked, and the audit has it. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { download } from "../../api/client";
import type { Stretch } from "../../player/answers";
import { formatDuration, fromLocalInput } from "../../ui/format";
import { Button, Dialog, Field, Notice, Trouble } from "../../ui/parts";
import { exportClip, exportText, MAX_CLIP_MS, type ExportWish } from "./exporting";
import type { Replay } from "./replay";
import { nameOf } from "./naming";

const AROUND_MS = 30_000;
const LEAST_PURPOSE = 3;

type State = { step: "asking" } | { step: "working"; share: number } | { step: "done"; reference: string; url: string; file: string };

export function ClipDialog({ replay, chosen, close }: { replay: Replay; chosen: Stretch | undefined; close: () => void }) {
  const at = replay.at.peek();
  const from = useSignal(toSecond(chosen?.from_ms ?? Math.max(replay.limits.from_ms, at - AROUND_MS)));
  const until = useSignal(toSecond(Math.min(replay.limits.until_ms, chosen?.until_ms ?? at + AROUND_MS)));
  const kind = useSignal<"clip" | "text">("clip");
  const purpose = useSignal("");
  const keys = replay.displaysAt(at);
  const displays = useSignal<readonly string[]>(keys);
  const state = useSignal<State>({ step: "asking" });
  const error = useSignal<unknown>(undefined);
  const aborter = useRef(new AbortController());
  useEffect(() => {
    replay.pause();
    return () => aborter.current.abort();
  }, []);
  const stretch = { from_ms: fromLocalInput(from.value) ?? 0, until_ms: fromLocalInput(until.value) ?? 0 };
  const fault = faultOf(stretch, replay, kind.value);
  const start = async (event: Event) => {
    event.preventDefault();
    if (fault || purpose.value.trim().length < LEAST_PURPOSE) return;
    error.value = undefined;
    aborter.current = new AbortController();
    state.value = { step: "working", share: 0 };
    const wish: ExportWish = { replay, stretch, displays: displays.value, purpose: purpose.value.trim() };
    try {
      const run = kind.value === "clip" ? exportClip : exportText;
      const made = await run(wish, (share) => (state.value = { step: "working", share }), aborter.current.signal);
      state.value = { step: "done", ...made };
      download(made.url, made.file);
    } catch (problem) {
      state.value = { step: "asking" };
      if (!aborter.current.signal.aborted) error.value = problem;
    }
  };
  if (state.value.step === "done") return <Done {...state.value} close={close} />;
  return (
    <Dialog title="Export" close={close}>
      <form class="stack" onSubmit={(event) => void start(event)}>
        <div class="row">
          <Time label="From" value={from.value} change={(text) => (from.value = text)} />
          <Time label="To" value={until.value} change={(text) => (until.value = text)} />
        </div>
        {fault ? <Notice tone="warn">{fault}</Notice> : <p class="quiet">{formatDuration(stretch.until_ms - stretch.from_ms)}</p>}
        <fieldset class="choices down">
          <legend>As</legend>
          <label>
            <input type="radio" name="kind" checked={kind.value === "clip"} onChange={() => (kind.value = "clip")} />
            Clip (WebM): the screens, and sound where there is some
          </label>
          <label>
            <input type="radio" name="kind" checked={kind.value === "text"} onChange={() => (kind.value = "text")} />
            Text: terminals, mails and what was read on the screens
          </label>
        </fieldset>
        {kind.value === "clip" && keys.length > 1 && <Displays keys={keys} chosen={displays.value} choose={(list) => (displays.value = list)} replay={replay} />}
        <Field label="Purpose" hint="It is kept in the audit, and stands in the file.">
          {(ids) => (
            <input {...ids} type="text" required minLength={LEAST_PURPOSE} maxLength={1000} value={purpose.value} onInput={(event) => (purpose.value = event.currentTarget.value)} />
          )}
        </Field>
        {error.value !== undefined && <Trouble error={error.value} />}
        {state.value.step === "working" && <Progress share={state.value.share} />}
        <div class="actions">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={state.value.step === "working" || fault !== undefined}>
            Export
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

const toSecond = (ms: number): string => {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
};

function faultOf({ from_ms, until_ms }: Stretch, replay: Replay, kind: "clip" | "text"): string | undefined {
  if (!from_ms || !until_ms) return "Choose when it begins and ends.";
  if (until_ms <= from_ms) return "It must end after it begins.";
  if (from_ms < replay.limits.from_ms - 1000 || until_ms > replay.limits.until_ms + 1000) return "It must be within the day that is open.";
  if (kind === "clip" && until_ms - from_ms > MAX_CLIP_MS) return `A clip is at most ${formatDuration(MAX_CLIP_MS)} long.`;
  return undefined;
}

function Time(props: { label: string; value: string; change: (text: string) => void }) {
  return (
    <Field label={props.label} class="grow">
      {(ids) => <input {...ids} type="datetime-local" step="1" required value={props.value} onInput={(event) => props.change(event.currentTarget.value)} />}
    </Field>
  );
}

function Displays(props: { keys: readonly string[]; chosen: readonly string[]; choose: (keys: readonly string[]) => void; replay: Replay }) {
  const toggle = (key: string) => {
    const rest = props.chosen.filter((one) => one !== key);
    props.choose(rest.length === props.chosen.length ? [...rest, key].sort() : rest);
  };
  return (
    <fieldset class="choices down">
      <legend>Displays</legend>
      {props.keys.map((key) => (
        <label key={key}>
          <input type="checkbox" checked={props.chosen.includes(key)} onChange={() => toggle(key)} />
          {nameOf(key, props.replay)}
        </label>
      ))}
    </fieldset>
  );
}

function Progress({ share }: { share: number }) {
  const percent = Math.round(100 * share);
  return (
    <div role="progressbar" aria-label="Export" aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
      <div class="bar">
        <span style={{ width: `${percent}%` }} />
      </div>
      <p class="quiet">{percent} %</p>
    </div>
  );
}

function Done(props: { reference: string; url: string; file: string; close: () => void }) {
  return (
    <Dialog title="Exported" close={props.close}>
      <p>
        Reference <strong>{props.reference}</strong>: it stands in the file and in the audit.
      </p>
      <p>
        The file is in your downloads as <code>{props.file}</code>.
      </p>
      <div class="actions">
        <Button onClick={() => download(props.url, props.file)}>Download again</Button>
        <Button kind="primary" onClick={props.close}>
          Close
        </Button>
      </div>
    </Dialog>
  );
}
