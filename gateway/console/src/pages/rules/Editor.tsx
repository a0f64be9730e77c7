/** The editor of one rule, with what it would have matched beside it. Never overwrites what somebody else changed. */

import { useState } from "preact/hooks";
import { deleteJson, postJson, putJson, withQuery } from "../../api/client";
import { Link, navigate } from "../../app/router";
import { Button, Dialog, Field, PageHead, Trouble, toast } from "../../ui/parts";
import { concernOf, concernsAny, isEmpty, sent, type Draft, type Rule, type Severity } from "./answers";
import { Concerns } from "./Concerns";
import { ConditionFields } from "./ConditionFields";
import { PreviewPane } from "./PreviewPane";

export function Editor(props: { draft: Draft; rule?: Rule; saved: () => void }) {
  const { rule } = props;
  const [draft, setDraft] = useState<Draft>(props.draft);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [removing, setRemoving] = useState(false);
  const wish = { name: draft.name.trim(), severity: draft.severity, enabled: draft.enabled, conditions: sent(draft.conditions), ...concernOf(draft) };
  const act = async (work: () => Promise<unknown>, told: string) => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
      toast(told);
      props.saved();
      navigate("/rules");
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  const save = (event: Event) => {
    event.preventDefault();
    void act(
      () => (rule ? putJson(`/rules/${rule.rule_id}`, { ...wish, version: rule.version }) : postJson("/rules", wish)),
      draft.enabled ? "The rule is in force within seconds" : "The rule is kept, and off",
    );
  };
  return (
    <>
      <PageHead title={rule ? rule.name : "New rule"}>
        <Link class="button" href="/rules">
          All rules
        </Link>
        {rule && (
          <Button kind="danger" onClick={() => setRemoving(true)}>
            Remove
          </Button>
        )}
      </PageHead>
      <div class="rule-editor">
        <form class="stack" onSubmit={save}>
          <section class="card stack" aria-label="The rule">
            <Field label="Name">
              {(ids) => (
                <input {...ids} type="text" required maxLength={120} value={draft.name} onInput={(event) => setDraft({ ...draft, name: event.currentTarget.value })} />
              )}
            </Field>
            <div class="row">
              <Field label="Severity">
                {(ids) => (
                  <select {...ids} value={draft.severity} onChange={(event) => setDraft({ ...draft, severity: event.currentTarget.value as Severity })}>
                    <option value="low">Low</option>
                    <option value="medium">Medium</option>
                    <option value="high">High</option>
                  </select>
                )}
              </Field>
              <label class="rule-on">
                <input type="checkbox" checked={draft.enabled} onChange={(event) => setDraft({ ...draft, enabled: event.currentTarget.checked })} />
                In force
              </label>
            </div>
          </section>
          <ConditionFields conditions={draft.conditions} change={(change) => setDraft({ ...draft, conditions: { ...draft.conditions, ...change } })} />
          <Concerns draft={draft} rule={rule} change={(change) => setDraft({ ...draft, ...change })} />
          {Boolean(error) && <Trouble error={error} />}
          <div class="row">
            <Button kind="primary" type="submit" disabled={busy || !wish.name || isEmpty(draft.conditions) || !concernsAny(draft)}>
              Save
            </Button>
            <Link class="button" href="/rules">
              Leave as it was
            </Link>
          </div>
        </form>
        <PreviewPane conditions={draft.conditions} concern={concernOf(draft)} />
      </div>
      {rule && removing && (
        <Dialog title={`Remove ${rule.name}?`} close={() => setRemoving(false)}>
          <p>It raises no more alerts. Those that it raised stay.</p>
          <div class="actions">
            <Button onClick={() => setRemoving(false)}>Keep it</Button>
            <Button
              kind="danger"
              disabled={busy}
              onClick={() => {
                setRemoving(false);
                void act(() => deleteJson(withQuery(`/rules/${rule.rule_id}`, { version: rule.version })), "The rule is removed");
              }}
            >
              Remove
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}
