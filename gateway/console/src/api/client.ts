/**
 * The one way to the server: JSON there and back, errors as `ApiError`, and events as they happen.
 * Never tries a change again by itself, and never keeps an answer.
 */

import { signal } from "@preact/signals";

const ROOT = "/api/v1";

/** What the server refused, in its words. `word` is one of a few fixed ones; 0: the server was not reached. */
export class ApiError extends Error {
  readonly status: number;
  readonly word: string;
  readonly retryAfterS: number;

  constructor(status: number, word: string, message: string, retryAfterS = 0) {
    super(message);
    this.status = status;
    this.word = word;
    this.retryAfterS = retryAfterS;
  }
}

/** Becomes true when the server says that nobody is signed in any more. */
export const signedOut = signal(false);

export type Query = Record<string, string | number | boolean | readonly (string | number)[] | undefined | null>;

/** `path` with a query; what is empty is left out. */
export function withQuery(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    for (const one of values) {
      if (one !== undefined && one !== null && one !== "" && one !== false) search.append(name, String(one));
    }
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/** A response whatever it holds; throws `ApiError`. Use `getJson` and its like unless it is bytes. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(ROOT + path, { credentials: "same-origin", redirect: "error", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached. See whether you are connected, and try again.");
  }
  if (response.ok) return response;
  const error = await asError(response);
  if (error.status === 401 && path !== "/session") signedOut.value = true;
  throw error;
}

export async function getJson<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const response = await request(withQuery(path, query), signal ? { signal } : {});
  return (await response.json()) as T;
}

export const postJson = <T>(path: string, body: unknown = {}, signal?: AbortSignal) => send<T>("POST", path, body, signal);
export const putJson = <T>(path: string, body: unknown) => send<T>("PUT", path, body);
export const deleteJson = <T>(path: string) => send<T>("DELETE", path, undefined);

async function send<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  const response = await request(path, init);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

async function asError(response: Response): Promise<ApiError> {
  const retryAfterS = Number(response.headers.get("Retry-After") ?? 0);
  try {
    const body = (await response.json()) as { error?: string; message?: string };
    return new ApiError(response.status, body.error ?? "failed", body.message ?? response.statusText, retryAfterS);
  } catch {
    return new ApiError(response.status, "failed", `The server answered ${response.status}.`, retryAfterS);
  }
}

/** Server-sent events of `path` as they come, each a JSON value; reconnects by itself. Returns how to stop. */
export function subscribe<T>(
  path: string,
  take: (value: T, event: string) => void,
  events: readonly string[] = ["message"],
  connected: (yes: boolean) => void = () => {},
): () => void {
  const source = new EventSource(ROOT + path);
  source.onopen = () => connected(true);
  source.onerror = () => connected(false);
  for (const name of events) {
    source.addEventListener(name, (event) => take(JSON.parse((event as MessageEvent<string>).data) as T, name));
  }
  return () => source.close();
}

/** Offer `path` (or a blob's URL) to the person as a file. */
export function download(path: string, name = ""): void {
  const link = document.createElement("a");
  link.href = path.startsWith("blob:") ? path : ROOT + path;
  link.download = name;
  link.click();
}
