/** What a person sees before anything is asked for: how to ask, by examples. Never asks anything by itself. */

import { Link } from "../../app/router";
import { Empty } from "../../ui/parts";

const EXAMPLES: readonly (readonly [string, string, string])[] = [
  ["quarterly invoice", "q=quarterly+invoice", "both words, in any order"],
  ['"wire transfer"', "q=%22wire+transfer%22", "these words together"],
  ["invo*", "q=invo*", "words that begin like this"],
  ["recieve", "q=recieve&fuzzy=true", "with “Similar words”: also what is spelled or read a little differently"],
];

export function Start() {
  return (
    <Empty title="Search everything that was recorded">
      <p>Screens, terminals, emails and window titles. Results show as you type.</p>
      <Examples />
      <p>Press <kbd>/</kbd> to search from any page.</p>
    </Empty>
  );
}

export function Examples() {
  return (
    <dl class="examples">
      {EXAMPLES.map(([words, query, meaning]) => (
        <div key={words}>
          <dt>
            <Link href={`/search?${query}`}>{words}</Link>
          </dt>
          <dd>{meaning}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Help() {
  return (
    <div class="card help">
      <Examples />
      <p class="quiet">
        <kbd>↓</kbd> <kbd>↑</kbd> or <kbd>j</kbd> <kbd>k</kbd> move among the results, <kbd>Enter</kbd> opens one in the player,{" "}
        <kbd>/</kbd> goes back to the words.
      </p>
    </div>
  );
}
