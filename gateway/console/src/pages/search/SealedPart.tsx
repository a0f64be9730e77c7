/** What there is to say of sealed texts: that there are some, how far their search is, and what it could not do. */

import { limitsOf } from "../../blindsearch/search";
import { QuestionError } from "../../blindsearch/wanted";
import { formatNumber } from "../../ui/format";
import { Button, Notice, Trouble } from "../../ui/parts";
import { askToUnlock, serverTexts, unlockFacts } from "../../unlocking/current";
import type { Asked } from "./asked";
import type { Sealed } from "./useSealed";

/** Before unlocking: that there is more. */
export function SealedHint(props: { count: number }) {
  if (!props.count) return null;
  const some = props.count === 1 ? "1 sealed text is" : `${formatNumber(props.count)} sealed texts are`;
  return (
    <Notice tone="sealed">
      <div class="row middle spread">
        <span>{some} in scope: unlock to search them too.</span>
        <Button small onClick={askToUnlock}>
          Unlock
        </Button>
      </div>
    </Notice>
  );
}

/** While unlocked: progress, and its limits. */
export function SealedState(props: { asked: Asked; sealed: Sealed; change: (asked: Partial<Asked>) => void }) {
  const { asked, sealed } = props;
  return (
    <div class="sealed-state">
      <div class="row middle spread">
        <span role="status">{tell(asked, sealed)}</span>
        {sealed.running && (
          <Button small onClick={sealed.cancel}>
            Stop
          </Button>
        )}
      </div>
      {sealed.error !== undefined &&
        (sealed.error instanceof QuestionError ? <p class="quiet">{sealed.error.message}</p> : <Trouble error={sealed.error} />)}
      {!sealed.running && limitsOf(sealed.effort).map((limit) => <p key={limit} class="quiet">{limit}</p>)}
      <PrivateChoice {...props} />
    </div>
  );
}

/** What the server opened for this page. */
export function ServerState(props: { asked: Asked; change: (asked: Partial<Asked>) => void }) {
  const count = serverTexts.value.length;
  if (!unlockFacts.value?.onServer) return null;
  return (
    <div class="sealed-state">
      <span role="status">{formatNumber(count)} {count === 1 ? "text was" : "texts were"} opened on the server; they are searched in this page.</span>
      <PrivateChoice {...props} />
    </div>
  );
}

function PrivateChoice(props: { asked: Asked; change: (asked: Partial<Asked>) => void }) {
  return (
    <label class="private">
      <input
        type="checkbox"
        checked={props.asked.where === "sealed"}
        onChange={(event) => props.change({ where: event.currentTarget.checked ? "sealed" : "all" })}
      />
      Search sealed texts only: what you type then stays in this page
    </label>
  );
}

function tell(asked: Asked, { effort, running, results, error }: Sealed): string {
  if (!asked.q.trim()) return "Sealed texts are found by their words.";
  if (asked.fuzzy) return "Sealed texts are found by whole words: switch “Similar words” off to search them too.";
  if (error !== undefined) return "Sealed texts were not searched.";
  const found = `${formatNumber(results.length)} sealed ${results.length === 1 ? "text" : "texts"}`;
  if (running && !effort.candidates) return "Searching sealed texts…";
  if (running) return `${found}; ${formatNumber(effort.compared)} of ${formatNumber(effort.candidates)} that may match were opened…`;
  if (!effort.spans) return "There is no sealed text in this scope.";
  return `${found} found, ${formatNumber(effort.opened)} opened in this page.`;
}
