/**
 * The texts in an opened end-to-end segment, by where each began; the reference is `sinks/blind_search.py`.
 * Never keeps them: whoever asks shows them, and drops them when the unlock is locked.
 */

import type { AvroRecord } from "../unlock/avro";
import { toHex, type Bytes } from "../unlock/bytes";
import type { Opened } from "../unlock/opening";
import { CONTENT_TYPES } from "../unlock/streams";

const EMAIL_CHARACTERS = 200_000;
const CONTINUATION = 10_000;
const EPOCH_DIGITS = 32;

/** A line of text on a screen, in pixels of its display. */
export interface Line {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly display: number;
  readonly appearedMs: number;
  readonly wentMs: number | undefined;
}

/** What was opened of one document. `others` are people and names of attachments. */
export interface Text {
  readonly timeMs: number;
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  readonly application: string;
  readonly others: readonly string[];
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly lines: readonly Line[];
}

/** A text and who it is of. */
export interface DatedText extends Text {
  readonly id: Origin;
  readonly agentId: string;
  readonly stream: string;
  readonly person: string;
  readonly computer: string;
}

/** Epoch (the hex digits that a document's id has of it), sequence and ordinal of where a text began. */
export type Origin = string;

/** Where a segment stands, and what it holds. */
export interface SegmentPlace {
  /** In hexadecimal. */
  readonly epoch: string;
  readonly sequence: number;
  readonly stream: string;
  readonly contentType: number;
}

export function placeOfOpened({ epoch, record }: Opened): SegmentPlace {
  const { sequence, stream, contentType } = record;
  return { epoch: toHex(epoch.epochId), sequence, stream, contentType };
}

/** The texts of a segment and where they began; none for one that holds no text. */
export function readTexts(place: SegmentPlace, events: readonly AvroRecord[]): Map<Origin, Text> {
  if (place.contentType === CONTENT_TYPES.text) {
    return new Map(events.map((passage) => [originOfPassage(passage), textOfPassage(passage)]));
  }
  if (place.contentType === CONTENT_TYPES.segment && place.stream === "email") {
    return readMessages(place.epoch, place.sequence, events);
  }
  return new Map();
}

/** Where the text of a document began: the way back from the id that a server gave it. */
export function originOf(documentId: string): Origin {
  const [epoch = "", sequence, ordinal] = documentId.split("-").slice(-3);
  return originAt(epoch, Number(sequence), Number(ordinal));
}

function originAt(epoch: string, sequence: number, ordinal: number): Origin {
  return `${epoch.slice(0, EPOCH_DIGITS)}-${sequence}-${ordinal}`;
}

function originOfPassage(passage: AvroRecord): Origin {
  const epoch = toHex(passage["origin_epoch"] as Bytes);
  return originAt(epoch, Number(passage["origin_sequence"]), Number(passage["ordinal"]));
}

function textOfPassage(passage: AvroRecord): Text {
  return {
    timeMs: timeOf(passage),
    kind: passage["kind"] as string,
    title: passage["title"] as string,
    text: passage["text"] as string,
    application: passage["application"] as string,
    others: [],
    sender: "",
    recipients: [],
    lines: (passage["lines"] as AvroRecord[]).map(lineOf),
  };
}

function timeOf(event: AvroRecord): number {
  return Math.floor(Number(event["time_us"]) / 1000);
}

function lineOf(line: AvroRecord): Line {
  const number = (name: string) => Number(line[name]);
  const went = line["went_ms"];
  return {
    text: line["text"] as string,
    x: number("x"),
    y: number("y"),
    width: number("width"),
    height: number("height"),
    display: number("display"),
    appearedMs: number("appeared_ms"),
    wentMs: went === null || went === undefined ? undefined : Number(went),
  };
}

/** One text a message, and more where a message is too long for one, as `infra/text/email.py` cuts them. */
function readMessages(epoch: string, sequence: number, events: readonly AvroRecord[]): Map<Origin, Text> {
  const texts = new Map<Origin, Text>();
  events.forEach((event, index) => {
    const characters = [...(event["text"] as string)];
    const sender = event["sender"] as string;
    const recipients = event["recipients"] as string[];
    const attachments = (event["attachments"] as AvroRecord[]).map((one) => one["name"] as string);
    for (let part = 0; part === 0 || part * EMAIL_CHARACTERS < characters.length; part++) {
      texts.set(originAt(epoch, sequence, part * CONTINUATION + index), {
        timeMs: timeOf(event),
        kind: "email",
        title: event["subject"] as string,
        text: characters.slice(part * EMAIL_CHARACTERS, (part + 1) * EMAIL_CHARACTERS).join(""),
        application: "",
        others: [sender, ...recipients, ...attachments],
        sender,
        recipients,
        lines: [],
      });
    }
  });
  return texts;
}
