/** Choosing key files, by a dialog, by dropping them, or by pasting the text of one. Never sends one anywhere. */

import type { RefObject } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { Badge, Button } from "../ui/parts";
import type { KeyRing, KeyFileState } from "./keyRing";
import { shortKeyId } from "./KeysOfPage";

/** More than any key file has: what is larger was chosen by mistake. */
const MAX_BYTES = 64 * 1024;
const PASTED = "the pasted key";

/** What is chosen; `settle` takes in what is being read or stands in the field. */
export interface KeyFilesChoice {
  settle(): Promise<void>;
}

export function KeyFiles(props: {
  ring: KeyRing; choice: RefObject<KeyFilesChoice | undefined>; names: ReadonlyMap<string, string>; fault: string | undefined; changed: () => void;
}) {
  const { ring, changed } = props;
  const [pasting, setPasting] = useState(false);
  const [over, setOver] = useState(false);
  const id = useId();
  const pasted = useRef<HTMLTextAreaElement>(null);
  const reading = useRef<Promise<unknown>>(Promise.resolve());
  const take = (files: Iterable<File>) => {
    const texts = [...files].map(async (file) => ring.add(file.name, file.size > MAX_BYTES ? "" : await file.text()));
    reading.current = Promise.all([reading.current, ...texts]).then(changed);
  };
  props.choice.current = {
    async settle() {
      await reading.current;
      const field = pasted.current;
      if (!field?.value.trim()) return;
      ring.add(PASTED, field.value);
      field.value = "";
      changed();
    },
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer?.files ?? []);
  };
  return (
    <div class="field">
      <label for={id}>Key files</label>
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
          class={`drop ${over ? "over" : ""} ${ring.files.length ? "chosen" : ""}`}
          onDragOver={(event) => (event.preventDefault(), setOver(true))}
          onDragLeave={() => setOver(false)}
          onDrop={drop}
        >
          <input
            id={id}
            type="file"
            multiple
            accept=".pem,.key,.p8,.txt"
            aria-describedby={`${id}-told`}
            onChange={(event) => {
              take(event.currentTarget.files ?? []);
              event.currentTarget.value = ""; // the list below has them; the same file can be chosen again
            }}
          />
          <span class="quiet">{ring.files.length ? "or drop more here" : "or drop them here"}</span>
        </div>
      )}
      <Chosen ring={ring} names={props.names} changed={changed} />
      <span id={`${id}-told`} class={props.fault ? "fault" : "hint"}>
        {props.fault ?? "The private halves of KEKs, in PEM. They are read in this page and not uploaded."}
      </span>
      <div>
        <Button small kind="plain" onClick={() => setPasting(!pasting)}>
          {pasting ? "Choose files instead" : "Paste one instead"}
        </Button>
      </div>
    </div>
  );
}

function Chosen(props: { ring: KeyRing; names: ReadonlyMap<string, string>; changed: () => void }) {
  const { files } = props.ring;
  if (!files.length) return null;
  const remove = (number: number) => {
    props.ring.remove(number);
    props.changed();
  };
  return (
    <ul class="key-files" aria-label="Chosen files">
      {files.map((file, number) => (
        <li key={number}>
          <span class="name">{file.name}</span>
          <State file={file} names={props.names} />
          <Button small kind="plain" aria-label={`Remove ${file.name}`} onClick={() => remove(number)}>
            ✕
          </Button>
        </li>
      ))}
    </ul>
  );
}

function State({ file, names }: { file: KeyFileState; names: ReadonlyMap<string, string> }) {
  if (file.keyId) {
    return (
      <>
        <Badge tone="good">open</Badge>
        <span class="quiet">{names.get(file.keyId) || shortKeyId(file.keyId)}</span>
      </>
    );
  }
  return file.hopeful ? <Badge>closed</Badge> : <Badge tone="bad">cannot be used</Badge>;
}
