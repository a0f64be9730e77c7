/**
 * Who is signed in, and what they may do.
 * Never decides anything by itself: the server checks every request; this only hides what would be refused.
 */

import { computed, signal } from "@preact/signals";
import { ApiError, getJson, request, signedOut } from "../api/client";

export interface Session {
  account: { id: string; name: string; display_name: string; role: string; person: string | null };
  permissions: string[];
  all_teams: boolean;
  teams: string[];
  session: { id: string; expires_at_ms: number };
  unlock_on_server: boolean;
  must_change_password: boolean;
  totp: boolean;
}

/** `undefined` until the server has said; `null`: nobody. */
export const session = signal<Session | null | undefined>(undefined);
/** Why it is not known, if the server cannot be asked. */
export const sessionProblem = signal<ApiError | undefined>(undefined);

export const permissions = computed(() => new Set(session.value?.permissions ?? []));

export function may(permission: string | undefined): boolean {
  return permission === undefined || permissions.value.has(permission);
}

export async function loadSession(): Promise<void> {
  try {
    session.value = await getJson<Session>("/session");
    sessionProblem.value = undefined;
    signedOut.value = false;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) session.value = null;
    else sessionProblem.value = error;
  }
}

/** The other tabs and windows of this browser have the same cookie: they are told who is signed in now. */
const tabs = new BroadcastChannel("session");

/** Somebody signed in: what they may do, here and in the other tabs. */
export async function beginSession(): Promise<void> {
  await loadSession();
  if (session.value) tabs.postMessage(session.value.account.id);
}

tabs.onmessage = ({ data }: MessageEvent<string>) => {
  const shown = session.peek();
  if (!data) signedOut.value ||= Boolean(shown);
  else if (!shown) void loadSession();
  else if (shown.account.id !== data) location.assign("/"); // another person: nothing of the first may stay
};

/** Called before the session ends, so that nothing that was unlocked stays. */
export const beforeSignOut: (() => void | Promise<void>)[] = [];

export async function signOut(): Promise<void> {
  for (const act of beforeSignOut) await act();
  await request("/session", { method: "DELETE" }).catch(() => undefined);
  tabs.postMessage("");
  location.assign("/");
}
