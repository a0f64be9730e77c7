/** Choosing a key file, by a dialog, by dropping it, or by pasting its text. Never sends it anywhere. */

import type { RefObject } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { Button } from "../ui/parts";

/** More than any key file has: what is larger was chosen by mistake. */
const MAX_BYTES = 64 * 1024;

/** Reads what was chosen; the text is asked for when it is needed, and not kept here. */
export interface KeyFileChoice {
  text(): Promise<string>;
}

export function KeyFile(props: { choice: RefObject<KeyFileChoice | undefined>; fault: string | undefined }) {
  const [dropped, setDropped] = useState("");
  const [pasting, setPasting] = useState(false);
  const [over, setOver] = useState(false);
  const id = useId();
  const pasted = useRef<HTMLTextAreaElement>(null);
  const chosen = useRef<HTMLInputElement>(null);
  const choose = (file: File | null | undefined) => {
    if (file) props.choice.current = { text: async () => (file.size > MAX_BYTES ? "" : await file.text()) };
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer?.files[0];
    choose(file);
    setDropped(file?.name ?? "");
    if (file) chosen.current!.value = "";
  };
  const paste = () => {
    setPasting(!pasting);
    setDropped("");
    props.choice.current = pasting ? undefined : { text: async () => pasted.current?.value ?? "" };
  };
  return (
    <div class="field">
      <label for={id}>Key file</label>
      {pasting ? (
        <textarea
          id={id}
          ref={pasted}
          class="pem"
          rows={5}
          spellcheck={false}
          autocomplete="off"
          placeholder="-----BEGIN ENCRYPTED PRIVATE KEY-----"
          aria-describedby={`${id}-told`}
        />
      ) : (
        <div
          class={`drop ${over ? "over" : ""}`}
          onDragOver={(event) => (event.preventDefault(), setOver(true))}
          onDragLeave={() => setOver(false)}
          onDrop={drop}
        >
          <input
            id={id}
            ref={chosen}
            type="file"
            accept=".pem,.key,.p8,.txt"
            aria-describedby={`${id}-told`}
            onChange={(event) => (setDropped(""), choose(event.currentTarget.files?.[0]))}
          />
          <span class="quiet">{dropped ? `Dropped: ${dropped}` : "or drop it here"}</span>
        </div>
      )}
      <span id={`${id}-told`} class={props.fault ? "fault" : "hint"}>
        {props.fault ?? "The private half of the KEK, in PEM. It is read in this page and not uploaded."}
      </span>
      <div>
        <Button small kind="plain" onClick={paste}>
          {pasting ? "Choose a file instead" : "Paste it instead"}
        </Button>
      </div>
    </div>
  );
}
