/** The keys of the player. */

import { KeyList, type Keys } from "../../ui/KeyList";
import { Dialog } from "../../ui/parts";

const KEYS: Keys = [
  ["Space", "play or pause"],
  ["← →", "5 seconds back, forth"],
  [", .", "one frame back, forth"],
  ["[ ]", "slower, faster"],
  ["Home End", "to the first, the last moment"],
  ["g", "to the next gap"],
  ["n N", "to the next marker, the one before"],
  ["+ −", "look closer at the timeline, from further away"],
  ["i o", "a clip begins, ends here"],
  ["e", "export a clip or text"],
  ["s", "skip what is idle, or not"],
  ["m", "sound on or off"],
  ["z", "pixel by pixel, or fitted"],
  ["f", "full screen"],
  ["?", "these keys"],
];

export function KeysDialog({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys of the player" close={close}>
      <KeyList keys={KEYS} columns />
    </Dialog>
  );
}
