/** Which keys do something, of the console and of the page that is shown. Never listens to any itself. */

import { KeyList, type Keys } from "../ui/KeyList";
import { Dialog } from "../ui/parts";
import { path } from "./router";
import { may } from "./session";

const EVERYWHERE: Keys = [
  ["Tab", "to the next control; the first is “Skip to content”"],
  ["Esc", "closes a dialog or a menu"],
  ["Ctrl Shift L", "locks what is unlocked in this page"],
  ["?", "these keys"],
];
const SEARCH: Keys = [
  ["↓ ↑", "among the results; j and k do the same"],
  ["→ ←", "shows the similar screens of a result, and puts them away"],
  ["Enter", "opens a result in the player"],
  ["/", "back to the words"],
];
const TABS: Keys = [["← →", "from tab to tab, where the page has tabs"]];

export function KeyboardDialog({ close }: { close: () => void }) {
  const searching = path.value === "/search";
  return (
    <Dialog title="Keyboard" close={close}>
      <Listed title="Everywhere" keys={[...(may("search") ? ([["/", "to the search, from any page"]] as const) : []), ...EVERYWHERE]} />
      <Listed title={searching ? "This page" : "Tabs"} keys={searching ? SEARCH : TABS} />
      {may("recordings") && <p class="quiet">The player has keys of its own: press ? while a recording is shown.</p>}
    </Dialog>
  );
}

function Listed(props: { title: string; keys: Keys }) {
  return (
    <section>
      <h3>{props.title}</h3>
      <KeyList keys={props.keys} />
    </section>
  );
}
