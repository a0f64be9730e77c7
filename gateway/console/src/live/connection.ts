/**
 * One view: a ticket from the server, a websocket to the one that has the agent, and again when that breaks.
 * Never opens a websocket without a ticket, and never tries again what was refused.
 */

import { signal } from "@preact/signals";
import { ApiError, postJson } from "../api/client";
import { Offset, readMessage, type Message, type State, type Status } from "./message";

export interface Ticket {
  url: string;
  ticket: string;
  end_to_end: boolean;
  cipher: string;
}

export interface Wish {
  agent: string;
  what: "screen" | "audio";
  purpose: string;
  viewer_key?: string;
}

/** `ended`: it will not go on by itself. */
export type Phase = "connecting" | "open" | "broken" | "ended";

const PING_MS = 5000;
const AGAIN_MS = [500, 1000, 2000, 4000, 8000];

export class LiveConnection {
  readonly phase = signal<Phase>("connecting");
  readonly state = signal<State | undefined>(undefined);
  /** Why it ended, or does not come about. */
  readonly reason = signal("");
  cipher = "";
  readonly #wish: Wish;
  readonly #take: (message: Message) => void;
  readonly #aborter = new AbortController();
  #offset = new Offset();
  #socket: WebSocket | undefined;
  #pinging: ReturnType<typeof setInterval> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #held = false;

  /** `take` gets what is no status, and that the viewer fell behind. */
  constructor(wish: Wish, take: (message: Message) => void) {
    this.#wish = wish;
    this.#take = take;
    void this.#begin();
  }

  /** The server's time now, milliseconds. */
  now(): number {
    return Date.now() + this.#offset.ms;
  }

  /** How long ago something was captured, by the agent's clock. */
  latencyMs(captureMs: number): number {
    return Math.max(0, this.now() - (captureMs - (this.state.peek()?.ahead_ms ?? 0)));
  }

  /** Whether nobody sees it: then nothing is sent, and it goes on with a whole frame afterwards. */
  hold(yes: boolean): void {
    if (this.#held === yes) return;
    this.#held = yes;
    this.#tellHold();
  }

  /** Begin anew with a frame that stands by itself. */
  restart(): void {
    if (this.phase.peek() === "ended") return;
    this.#drop();
    this.phase.value = "connecting";
    void this.#begin();
  }

  close(reason = ""): void {
    this.#aborter.abort();
    this.#drop();
    this.phase.value = "ended";
    if (reason) this.reason.value = reason;
  }

  async #begin(): Promise<void> {
    let ticket: Ticket;
    try {
      ticket = await postJson<Ticket>("/live", this.#wish, this.#aborter.signal);
    } catch (error) {
      if (this.#aborter.signal.aborted) return;
      const worth = error instanceof ApiError && (error.status === 0 || error.status >= 500);
      if (worth) this.#tryAgain(error.message);
      else this.close(error instanceof Error ? error.message : String(error));
      return;
    }
    if (this.#aborter.signal.aborted) return;
    this.cipher = ticket.cipher;
    this.#open(ticket);
  }

  #open(ticket: Ticket): void {
    const socket = new WebSocket(ticket.url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send(JSON.stringify({ ticket: ticket.ticket }));
      if (this.#held) this.#tellHold();
      const ping = () => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ ping: Date.now() }));
      ping();
      this.#pinging = setInterval(ping, PING_MS);
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => this.#receive(readMessage(event.data));
    socket.onclose = () => {
      if (socket !== this.#socket || this.phase.peek() === "ended") return;
      this.#tryAgain("The connection to the server that has this agent was lost.");
    };
  }

  #tellHold(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ hold: this.#held }));
  }

  #receive(message: Message): void {
    if (message.kind !== "status") this.#take(message);
    else this.#hear(message.status, message);
  }

  #hear(status: Status, message: Message): void {
    switch (status.kind) {
      case "pong":
        this.#offset.add(status.ping, Date.now(), status.server_ms);
        break;
      case "state":
        this.phase.value = "open";
        this.#failures = 0;
        this.reason.value = "";
        this.state.value = status;
        break;
      case "behind":
        this.#take(message);
        break;
      default:
        this.close(sentence(status.reason));
    }
  }

  #tryAgain(reason: string): void {
    this.#drop();
    this.reason.value = reason;
    const wait = AGAIN_MS[this.#failures++];
    if (wait === undefined) return this.close(reason);
    this.phase.value = "broken";
    this.#again = setTimeout(() => void this.#begin(), wait);
  }

  #drop(): void {
    clearInterval(this.#pinging);
    clearTimeout(this.#again);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }
}

/** Words of the server with a capital letter and a full stop. */
export function sentence(text: string): string {
  return text ? `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "";
}
