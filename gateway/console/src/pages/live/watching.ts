/**
 * What is watched and heard in this page: one of these for each agent.
 * Never watches without a purpose, and never keeps a key or picture when it is stopped.
 */

import { signal } from "@preact/signals";
import { Hearing } from "../../live/hearing";
import { LiveConnection, sentence } from "../../live/connection";
import { keysOfPage, keysOfUnlock, LivePicture } from "../../live/picture";
import { Identity } from "../../unlock/identity";
import { unlockSession } from "../../unlocking/current";

/** As `GET /api/v1/live` tells it. */
export interface LiveAgent {
  agent: string;
  user: string;
  computer: string;
  screen: boolean;
  audio: boolean;
  end_to_end: boolean;
  viewers: number;
  server: string;
}

export interface LiveAgents {
  agents: LiveAgent[];
  screen_refusal: string;
  audio_refusal: string;
}

/** Why it is watched: asked once, for as long as the page is open. */
export const livePurpose = signal("");

let pageKey: Promise<{ identity: Identity; publicKey: string }> | undefined;

/** The key of this page, to which live screens are sealed; made when it is first needed, and gone with the page. */
function keyOfPage(): Promise<{ identity: Identity; publicKey: string }> {
  pageKey ??= Identity.generate().then(({ identity, publicKey }) => ({ identity, publicKey: toBase64(publicKey) }));
  return pageKey;
}

export class Watching {
  readonly agent: LiveAgent;
  readonly screen = signal<LiveConnection | undefined>(undefined);
  readonly picture = signal<LivePicture | undefined>(undefined);
  readonly sound = signal<LiveConnection | undefined>(undefined);
  readonly hearing = signal<Hearing | undefined>(undefined);
  #stopped = false;
  #seen = true;

  constructor(agent: LiveAgent) {
    this.agent = agent;
  }

  /** Watch the screen; one that is sealed end to end only while somebody has unlocked. */
  async watch(): Promise<void> {
    this.#dropScreen();
    const unlocked = unlockSession.peek();
    if (this.agent.end_to_end && !unlocked) return;
    const { identity, publicKey } = await keyOfPage();
    if (this.#stopped || this.screen.peek()) return;
    const keys = this.agent.end_to_end && unlocked ? keysOfUnlock(unlocked) : keysOfPage(identity);
    const wish = { agent: this.agent.agent, what: "screen" as const, purpose: livePurpose.peek(), viewer_key: publicKey };
    const connection: LiveConnection = new LiveConnection(wish, (message) => {
      if (message.kind === "envelope") picture.take(message.envelope);
      else picture.beginAnew();
    });
    const picture = new LivePicture(keys, (ms) => connection.latencyMs(ms), () => connection.restart());
    connection.hold(!this.#seen);
    picture.rest(!this.#seen);
    this.screen.value = connection;
    this.picture.value = picture;
  }

  /** Whether somebody sees the tile. Only what is seen is sent, opened and drawn. */
  see(yes: boolean): void {
    this.#seen = yes;
    this.screen.peek()?.hold(!yes);
    this.picture.peek()?.rest(!yes);
  }

  /** Hear it; from a click. */
  listen(): void {
    this.mute();
    const wish = { agent: this.agent.agent, what: "audio" as const, purpose: livePurpose.peek() };
    const connection: LiveConnection = new LiveConnection(wish, (message) => {
      if (message.kind === "sound") hearing.take(message.packet);
    });
    const hearing = new Hearing((ms) => connection.latencyMs(ms));
    this.sound.value = connection;
    this.hearing.value = hearing;
  }

  mute(): void {
    this.sound.peek()?.close();
    this.hearing.peek()?.close();
    this.sound.value = undefined;
    this.hearing.value = undefined;
  }

  stop(): void {
    this.#stopped = true;
    this.#dropScreen();
    this.mute();
  }

  #dropScreen(): void {
    this.screen.peek()?.close();
    this.picture.peek()?.close();
    this.screen.value = undefined;
    this.picture.value = undefined;
  }
}

/** What a person should know of a connection; empty when all is well. */
export function told(connection: LiveConnection, hasPicture: boolean): string {
  const { phase, state, reason } = connection;
  if (phase.value === "connecting") return "Asking the server.";
  if (phase.value === "broken") return `${reason.value} Trying again.`;
  if (phase.value === "ended") return reason.value || "It has ended.";
  const now = state.value;
  switch (now?.state) {
    case "away":
      return `${sentence(now.reason || "The agent has lost its connection")} The picture goes on by itself.`;
    case "off":
    case "refused":
      return sentence(now.reason || "The agent shows nothing now");
    default:
      return hasPicture ? "" : "Waiting for the first picture.";
  }
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
