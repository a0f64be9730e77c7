/**
 * Where the person is: the path and the query of the address, as signals, so that every view can be shared as a link.
 * Never loads a page anew for a place within the console.
 */

import { computed, signal } from "@preact/signals";
import type { AnchorHTMLAttributes, ComponentChildren } from "preact";

const place = signal(new URL(location.href));

export const path = computed(() => place.value.pathname);
export const query = computed(() => place.value.searchParams);

addEventListener("popstate", () => (place.value = new URL(location.href)));

/** Go to an address within the console, such as `/player?person=ann`. */
export function navigate(to: string, replace = false): void {
  const url = new URL(to, location.href);
  if (url.href === place.value.href) return;
  const moved = url.pathname !== place.value.pathname;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  place.value = url;
  if (moved && !replace) scrollTo(0, 0);
}

/** Change some of the query and leave the rest; empty values are taken out. */
export function setQuery(changes: Record<string, string | readonly string[] | undefined>, replace = true): void {
  const url = new URL(place.value);
  for (const [name, value] of Object.entries(changes)) {
    url.searchParams.delete(name);
    const values = typeof value === "string" ? [value] : (value ?? []);
    for (const one of values) if (one) url.searchParams.append(name, one);
  }
  navigate(url.href, replace);
}

/** A link within the console; with the usual keys it opens elsewhere as any link does. */
export function Link(props: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string; children?: ComponentChildren }) {
  const go = (event: MouseEvent) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || props.target) return;
    event.preventDefault();
    navigate(props.href);
  };
  return <a {...props} onClick={go} />;
}
