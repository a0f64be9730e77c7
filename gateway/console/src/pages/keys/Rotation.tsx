/**
 * Putting another KEK in the place of one: five steps, each with what it does, and a way back until the last.
 * Never goes on by itself: a person looks at each step.
 */

import { useState } from "preact/hooks";
import { postJson } from "../../api/client";
import { may } from "../../app/session";
import { Button, Field, Notice, Trouble, toast } from "../../ui/parts";
import type { Done, Kek, KeysAnswer } from "./answers";
import { RetireButton } from "./Ending";
import { Rewrap } from "./Rewrap";

type Step = "begin" | "finish" | "back";

export function Rotation(props: { kek: Kek; all: KeysAnswer; changed: () => void }) {
  const { kek, all, changed } = props;
  const candidates = all.keys.filter(
    (one) => one.purpose === kek.purpose && one.state === "active" && !one.successor && one.name !== kek.name,
  );
  const [successor, setSuccessor] = useState("");
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const manage = may("manage_keys");
  const chosen = successor || candidates[0]?.name || "";
  const at = kek.state === "opening" ? 3 : kek.successor ? 2 : 1;

  const go = async (step: Step) => {
    setBusy(true);
    setError(undefined);
    try {
      const body = step === "begin" ? { step, successor: chosen, reason } : { step, reason };
      const done = await postJson<Done>(`/keys/kek/${encodeURIComponent(kek.name)}/rotation`, body);
      toast(done.says);
      changed();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };

  return (
    <section class="card" aria-labelledby="rotation">
      <h2 id="rotation">Rotate</h2>
      {!manage && <p class="quiet">Only administrators rotate keys. This is how far it is.</p>}
      <ol class="steps">
        <StepItem number={1} at={at} title="Put another key beside it">
          {at === 1 &&
            (candidates.length ? (
              <div class="stack">
                <p>Everything new is then sealed to both, so that either opens it.</p>
                {manage && (
                  <div class="row">
                    <Field label="The key that takes its place">
                      {(ids) => (
                        <select {...ids} value={chosen} onChange={(event) => setSuccessor(event.currentTarget.value)}>
                          {candidates.map((one) => (
                            <option key={one.name}>{one.name}</option>
                          ))}
                        </select>
                      )}
                    </Field>
                    <ReasonField value={reason} change={setReason} />
                    <Button kind="primary" disabled={busy} onClick={() => void go("begin")}>
                      Begin
                    </Button>
                  </div>
                )}
              </div>
            ) : (
              <p>{noCandidate(kek)}</p>
            ))}
          {at > 1 && <p class="quiet">{kek.successor || "another key"} stands beside it.</p>}
        </StepItem>
        <StepItem number={2} at={at} title="Seal to the new one alone">
          {at === 2 && (
            <>
              <p>
                Nothing new is then sealed to {kek.name}; what was, still opens.
                {kek.purpose === "server" && " Every node with miners needs the new private half before that: see where it lies."}
              </p>
              {manage && <Phase busy={busy} go={go} reason={reason} change={setReason} />}
            </>
          )}
        </StepItem>
        <StepItem number={3} at={at} title="Re-wrap the archive">
          {at === 3 && <Rewrap kek={kek} manage={manage} />}
        </StepItem>
        <StepItem number={4} at={at} title="Retire it">
          {at === 3 && (
            <>
              <p>It then opens nothing. Wait for agents that were offline: they still deliver what they sealed to it.</p>
              {manage && (
                <div class="row">
                  <RetireButton kek={kek} changed={changed} />
                  <Button disabled={busy} onClick={() => void go("back")}>
                    Go back: seal to {kek.name} again
                  </Button>
                </div>
              )}
            </>
          )}
        </StepItem>
      </ol>
      {error !== undefined && <Trouble error={error} />}
      {kek.purpose === "end_to_end" && at > 1 && (
        <Notice tone="sealed">
          Of end-to-end streams each phase takes effect when an officer signs: <code>sealstream keys distribute</code>
        </Notice>
      )}
    </section>
  );
}

function noCandidate(kek: Kek): string {
  return kek.purpose === "server"
    ? "There is no other active key for the server yet: make one on the page of all keys."
    : `There is no other active end-to-end key yet: its officer makes one (sealstream keys make NAME) and you register its public half.`;
}

function StepItem(props: { number: number; at: number; title: string; children: preact.ComponentChildren }) {
  const state = props.number < props.at ? "done" : props.number === props.at ? "now" : "later";
  return (
    <li class={`step ${state}`} {...(state === "now" ? { "aria-current": "step" as const } : {})}>
      <h3>
        {props.title}
        {state === "done" && <span class="quiet"> (done)</span>}
      </h3>
      {props.children}
    </li>
  );
}

function Phase(props: { busy: boolean; go: (step: Step) => Promise<void>; reason: string; change: (text: string) => void }) {
  return (
    <div class="row">
      <ReasonField value={props.reason} change={props.change} />
      <Button kind="primary" disabled={props.busy} onClick={() => void props.go("finish")}>
        Finish
      </Button>
      <Button disabled={props.busy} onClick={() => void props.go("back")}>
        Go back
      </Button>
    </div>
  );
}

export function ReasonField(props: { value: string; change: (text: string) => void; required?: boolean }) {
  return (
    <Field label={props.required ? "Why" : "Why (goes into the audit)"}>
      {(ids) => (
        <input
          {...ids}
          type="text"
          maxLength={500}
          value={props.value}
          onInput={(event) => props.change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
