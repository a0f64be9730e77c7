/**
 * The text of a stretch, made in this page: for what was unlocked here, which the server cannot read.
 * Never leaves out that something stayed sealed, was damaged, or was not recorded.
 */

import type { Gap, Stretch } from "./answers";
import { reasonOf } from "./markers";
import type { Notes, TerminalEvent } from "./notes";
import { TerminalReplay, textOf } from "./terminal";
import { formatUtc } from "./utc";

export interface TextOrder {
  readonly stretch: Stretch;
  readonly reference: string;
  readonly person: string;
  readonly exportedBy: string;
  readonly purpose: string;
}

const SCROLLBACK = 2000;

export async function makeText(order: TextOrder, notes: Notes, gaps: readonly Gap[]): Promise<string> {
  const { from_ms, until_ms } = order.stretch;
  const parts = [
    `Reference ${order.reference}`,
    `${order.person}, ${formatUtc(from_ms)} to ${formatUtc(until_ms)}`,
    `Exported by ${order.exportedBy}. Purpose: ${order.purpose}`,
  ];
  for (const gap of gaps) parts.push(`Not recorded (${gap.stream}): ${formatUtc(gap.from_ms)} to ${formatUtc(gap.until_ms)}: ${reasonOf(gap)}`);
  for (const [stream, count] of notes.sealed) parts.push(`Still sealed (${stream}): ${count} envelopes`);
  if (notes.damaged) parts.push(`Damaged: ${notes.damaged} segments`);
  for (const mail of notes.mails.filter((one) => within(one.time_us, order.stretch))) {
    const files = mail.attachments.map((file) => `\nAttachment: ${file.name}, ${file.size} bytes`).join("");
    const head = `From: ${mail.sender}\nTo: ${mail.recipients.join(", ")}\nSubject: ${mail.subject}${files}`;
    parts.push(`\n--- Mail, ${formatUtc(mail.time_us / 1000)}\n${head}\n\n${mail.text}`);
  }
  for (const [session, events] of notes.sessions) {
    if (!events.some((event) => within(event.time_us, order.stretch))) continue;
    parts.push(`\n--- Terminal ${session}, as it stood at ${formatUtc(until_ms)}\n${await readTerminal(events, until_ms)}`);
  }
  return `${parts.join("\n")}\n`;
}

const within = (time_us: number, stretch: Stretch) => time_us >= stretch.from_ms * 1000 && time_us < stretch.until_ms * 1000;

async function readTerminal(events: readonly TerminalEvent[], until_ms: number): Promise<string> {
  const replay = new TerminalReplay(events);
  await replay.show(until_ms);
  const text = replay.picture(SCROLLBACK).lines.map(textOf).join("\n").trimEnd();
  replay.dispose();
  return text;
}
