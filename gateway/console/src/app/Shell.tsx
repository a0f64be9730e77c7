/** The frame round every page: navigation, who is signed in, and the page itself. Never shows what is not permitted. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import icon from "../icon.svg";
import { GROUPS, PAGES, type Page } from "../pages/table";
import { Button, PageHead, Toasts } from "../ui/parts";
import { askToUnlock, unlockFacts } from "../unlocking/current";
import { UnlockBar } from "../unlocking/UnlockBar";
import { formatZone } from "../ui/format";
import { KeyboardDialog } from "./KeyboardDialog";
import { Lazy } from "./Lazy";
import { Link, navigate, path, query } from "./router";
import { may, session, signOut } from "./session";
import { nextTheme, theme } from "./theme";

const THEMES = { system: "as the system", light: "light", dark: "dark" };

export function Shell() {
  const open = useSignal(false);
  const keyboard = useSignal(false);
  const main = useRef<HTMLElement>(null);
  const before = useRef(path.value);
  const shown = PAGES.filter((page) => may(page.permission));
  const page = shown.find((one) => one.path === path.value);
  useEffect(() => {
    open.value = false;
    if (path.value === "/" && !page) navigate(firstPage(shown), true);
    // What was chosen is gone with its page, or stands in the navigation: reading goes on where the new page begins.
    if (before.current !== path.value && before.current !== "/") main.current!.focus({ preventScroll: true });
    before.current = path.value;
  }, [path.value]);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key === "Escape") open.value = false;
      if (isTyping(event) || document.querySelector("dialog[open]")) return;
      if (event.key === "/" && may("search")) {
        event.preventDefault();
        goToSearch();
      }
      if (event.key === "?" && !hasOwnKeys()) keyboard.value = true;
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="top">
        <Brand />
        <Button kind="plain" aria-label="Menu" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
          ☰
        </Button>
      </header>
      {open.value && <button type="button" class="veil" aria-label="Close menu" onClick={() => (open.value = false)} />}
      <div class="shell">
        <nav class={`side ${open.value ? "open" : ""}`} aria-label="Console">
          <Brand />
          <Items pages={shown} />
          <div class="foot">
            <bdi class="who">{session.value?.account.display_name || session.value?.account.name}</bdi>
            <span class="zone" title="Times are shown in this browser's time zone">
              Times: {formatZone()}
            </span>
            {may("recordings") && !unlockFacts.value && (
              <Button kind="plain" small onClick={() => ((open.value = false), askToUnlock())}>
                Unlock sealed recordings
              </Button>
            )}
            <Button kind="plain" small onClick={nextTheme}>
              Colours: {THEMES[theme.value]}
            </Button>
            <Button kind="plain" small onClick={() => (keyboard.value = true)}>
              Keyboard <kbd>?</kbd>
            </Button>
            <Button kind="plain" small onClick={() => void signOut()}>
              Sign out
            </Button>
          </div>
        </nav>
        <main ref={main} class="main" id="main" tabIndex={-1} aria-label={page?.title}>
          {may("recordings") && <UnlockBar />}
          {page ? <Lazy key={page.path} load={page.load} /> : <NoPage />}
        </main>
      </div>
      {keyboard.value && <KeyboardDialog close={() => (keyboard.value = false)} />}
      <Toasts />
    </>
  );
}

/** A recording that is shown has its own table of keys. */
const hasOwnKeys = () => path.value === "/player" && query.value.size > 0;

/** The field may have to be loaded first. */
function goToSearch(): void {
  if (path.value !== "/search") navigate("/search");
  const began = performance.now();
  const focus = () => {
    const field = path.value === "/search" && document.querySelector<HTMLInputElement>(".search-field input[type=search]");
    if (field) field.select();
    else if (performance.now() - began < 5000) setTimeout(focus, 50);
  };
  focus();
}

/** A recorded person begins with what is recorded of them, everybody else with the first page that they may see. */
function firstPage(shown: readonly Page[]): string {
  return session.value?.account.role === "subject" ? "/own" : (shown[0]?.path ?? "/account");
}

function Brand() {
  return (
    <Link class="brand" href="/">
      <img src={icon} alt="" /> sealstream
    </Link>
  );
}

function Items(props: { pages: readonly Page[] }) {
  const listed = props.pages.filter((page) => !page.hidden);
  return (
    <>
      {GROUPS.map(([group, title]) => {
        const pages = listed.filter((page) => page.group === group);
        if (!pages.length) return null;
        return (
          <div key={group}>
            <div class="group">{title}</div>
            {pages.map((page) => (
              <Link key={page.path} class="item" href={page.path} aria-current={page.path === path.value ? "page" : undefined}>
                {page.title}
              </Link>
            ))}
          </div>
        );
      })}
    </>
  );
}

function NoPage() {
  return (
    <>
      <PageHead title="There is no such page" />
      <p>It does not exist, or your account may not see it.</p>
      <Link class="button" href="/">
        To the first page
      </Link>
    </>
  );
}

/** Whether a key goes into a text that is being typed. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  return event.ctrlKey || event.metaKey || event.altKey || target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
