/** The small parts that all pages are made of. Never fetch anything by themselves. */

import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { signal, type Signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { formatAge, formatTime } from "./format";

type Tone = "good" | "warn" | "bad" | "sealed";

export function PageHead(props: { title: string; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = `${props.title} · sealstream`;
  }, [props.title]);
  return (
    <header class="page-head">
      <h1>{props.title}</h1>
      <div class="actions">{props.children}</div>
    </header>
  );
}

export interface ButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "icon" | "size"> {
  kind?: "primary" | "danger" | "plain";
  small?: boolean;
}

export function Button({ kind, small, class: extra, ...rest }: ButtonProps) {
  return <button type="button" {...rest} class={`button ${kind ?? ""} ${small ? "small" : ""} ${String(extra ?? "")}`} />;
}

/** `tone` undefined: that of plain text. */
export function Badge(props: { tone?: Tone | undefined; title?: string; children: ComponentChildren }) {
  return (
    <span class={`badge ${props.tone ?? ""}`} title={props.title}>
      {props.children}
    </span>
  );
}

export function Notice(props: { tone?: Tone; role?: "status" | "alert"; children: ComponentChildren }) {
  return (
    <div class={`notice ${props.tone ?? ""}`} role={props.role}>
      {props.children}
    </div>
  );
}

/** A label with its control. `children` gets the ids that tie them together. */
export function Field(props: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  class?: string;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: "true" }) => ComponentChildren;
}) {
  const id = useId();
  const told = props.fault || props.hint;
  return (
    <div class={`field ${props.class ?? ""}`}>
      <label for={id}>{props.label}</label>
      {props.children({
        id,
        ...(told ? { "aria-describedby": `${id}-told` } : {}),
        ...(props.fault ? { "aria-invalid": "true" as const } : {}),
      })}
      {told && (
        <span id={`${id}-told`} class={props.fault ? "fault" : "hint"}>
          {told}
        </span>
      )}
    </div>
  );
}

export interface TextFieldProps {
  label: string;
  value: Signal<string>;
  hint?: string;
  type?: "text" | "password";
  name?: string;
  autocomplete?: string;
  inputMode?: "text" | "numeric";
  autocapitalize?: "none";
  spellcheck?: boolean;
  required?: boolean;
  autofocus?: boolean;
}

/** A labelled line of text that is kept in a signal: a password, a code, a name. */
export function TextField({ label, value, hint, type, ...rest }: TextFieldProps) {
  const take = (event: InputEvent) => {
    value.value = (event.currentTarget as HTMLInputElement).value;
  };
  return (
    <Field label={label} {...(hint ? { hint } : {})}>
      {(ids) => (type === "password" ? <input type="password" {...rest} {...ids} value={value} onInput={take} /> : <input type="text" {...rest} {...ids} value={value} onInput={take} />)}
    </Field>
  );
}

export function Loading(props: { what?: string }) {
  return (
    <div class="loading" role="status">
      {props.what ?? "Loading"}
    </div>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** What went wrong, in the server's words, and a way to try again where that may help. */
export function Trouble(props: { error: unknown; again?: (() => void) | undefined }) {
  const message = props.error instanceof Error ? props.error.message : String(props.error);
  const may = props.again && (!(props.error instanceof ApiError) || props.error.status === 0 || props.error.status >= 429);
  return (
    <Notice tone="bad" role="alert">
      <p>{message}</p>
      {may && (
        <Button small onClick={props.again}>
          Try again
        </Button>
      )}
    </Notice>
  );
}

/** `near`: a moment of the day that needs not be told; today where none is given. */
export function Time(props: { ms: number; age?: boolean; near?: number }) {
  const date = new Date(props.ms);
  return (
    <time dateTime={date.toISOString()} title={date.toISOString()}>
      {props.age ? formatAge(props.ms) : formatTime(props.ms, props.near)}
    </time>
  );
}

/** A modal dialog; Escape and the button close it, and the focus goes back to where it was. */
export function Dialog(props: { title: string; wide?: boolean; close: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    const dialog = element.current!;
    if (!dialog.open) dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const cancel = (event: Event) => {
    event.preventDefault();
    props.close();
  };
  return (
    <dialog ref={element} class={`dialog ${props.wide ? "wide" : ""}`} aria-labelledby={id} onCancel={cancel}>
      <header>
        <h2 id={id}>{props.title}</h2>
        <Button kind="plain" small aria-label="Close" onClick={props.close}>
          ✕
        </Button>
      </header>
      <div class="body">{props.children}</div>
    </dialog>
  );
}

export interface Column<Row> {
  title: string;
  number?: boolean;
  /** Short enough to stay on one line: a time, a state, a button. */
  keep?: boolean;
  show: (row: Row) => ComponentChildren;
}

const classOf = <Row,>(column: Column<Row>) => (column.number ? "number" : column.keep ? "keep" : "");

/** A table that folds into cards on narrow screens. */
export function Table<Row>(props: {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  id: (row: Row) => string;
}) {
  return (
    <table class="list folds" aria-label={props.label}>
      <thead>
        <tr>
          {props.columns.map((column) => (
            <th key={column.title} scope="col" class={classOf(column)}>
              {column.title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map((row) => (
          <tr key={props.id(row)}>
            {props.columns.map((column) => (
              <td key={column.title} data-label={column.title} class={classOf(column)}>
                {column.show(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Tabs that arrow keys move between. */
export function Tabs<Name extends string>(props: {
  label: string;
  names: readonly (readonly [Name, string])[];
  chosen: Name;
  choose: (name: Name) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chosen = list.current!.querySelector<HTMLElement>("[aria-selected=true]");
    if (chosen) list.current!.scrollLeft = chosen.offsetLeft - list.current!.offsetLeft - 24; // scrolls on narrow screens
  }, [props.chosen]);
  const move = (event: KeyboardEvent, at: number) => {
    const next = tabAfter(event.key, at, props.names.length);
    if (next === undefined) return;
    event.preventDefault();
    props.choose(props.names[next]![0]);
    const buttons = (event.currentTarget as HTMLElement).parentElement!.querySelectorAll("button");
    buttons[next]!.focus();
  };
  return (
    <div ref={list} class="tabs" role="tablist" aria-label={props.label}>
      {props.names.map(([name, title], at) => (
        <button
          key={name}
          type="button"
          role="tab"
          aria-selected={name === props.chosen}
          tabIndex={name === props.chosen ? 0 : -1}
          onClick={() => props.choose(name)}
          onKeyDown={(event) => move(event, at)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

/** Where a key leads from the tab at `at`; the arrows go round. */
function tabAfter(key: string, at: number, count: number): number | undefined {
  const places: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1 + count, Home: 0, End: count - 1 };
  const place = places[key];
  return place === undefined ? undefined : place % count;
}

interface Toast {
  id: number;
  text: string;
  tone: Tone;
}
const toasts = signal<readonly Toast[]>([]);
let toastNumber = 0;

const dropToast = (id: number) => (toasts.value = toasts.value.filter((one) => one.id !== id));

/** Tell the person something that needs no answer. What went wrong stays until it was read. */
export function toast(text: string, tone: Tone = "good"): void {
  const id = ++toastNumber;
  toasts.value = [...toasts.value.slice(-4), { id, text, tone }];
  if (tone !== "bad") setTimeout(dropToast, 6000, id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <Notice key={one.id} tone={one.tone}>
          <span>{one.text}</span>
          {one.tone === "bad" && (
            <Button kind="plain" small aria-label="Close this message" onClick={() => dropToast(one.id)}>
              ✕
            </Button>
          )}
        </Notice>
      ))}
    </div>
  );
}
