/**
 * Whether an opened text is what was asked for, word by word as the blind index has words, and where it says so; the
 * reference is `sinks/matching.py`. Never trusts a token: what is found by one is compared here with the words themselves.
 */

import { normalise, wordsOf } from "../unlock/blindIndex";
import { cutAt, type Pieces } from "./pieces";

const ASKED = /"([^"]*)"|(\S+)/g;
const RUN = /[\p{L}\p{M}\p{Nd}]+/gu;
const BEFORE = 50;
const FRAGMENT = 140;
const MOST_FRAGMENTS = 3;

/** A question that an index of hashes cannot answer; the message says what to do. */
export class QuestionError extends Error {}

/** Every run of letters, marks and digits, of whatever length: what a phrase is compared by. */
export function allWords(text: string): string[] {
  return normalise(text).match(RUN) ?? [];
}

/** Words, all of which must be there, and phrases in double quotes. */
export class Wanted {
  /** Each a run of words that must stand together: a phrase, or what is several words, such as ann@example.org. */
  readonly phrases: readonly (readonly string[])[];
  /** Those that an index has. */
  readonly words: readonly string[];
  readonly #asked: ReadonlySet<string>;

  /** Throws `QuestionError`. */
  constructor(text: string) {
    if (text.includes("*")) {
      throw new QuestionError("Sealed texts are found by whole words: take out the * to search them too.");
    }
    const asked = [...text.matchAll(ASKED)].map(([, phrase, word]) => allWords(phrase || word || ""));
    this.phrases = asked.filter((words) => words.length > 0);
    this.words = [...new Set(this.phrases.flatMap((words) => wordsOf(words.join(" "))))].sort();
    if (!this.words.length) {
      throw new QuestionError("Sealed texts are found by a word of 2 to 64 letters that is not as common as “the” or “and”.");
    }
    this.#asked = new Set(this.phrases.flat());
  }

  /** Whether these texts of one document have every word and phrase. */
  metBy(texts: readonly string[]): boolean {
    const have = texts.map(allWords);
    return this.phrases.every((phrase) => have.some((words) => standsIn(phrase, words)));
  }

  /** Whether a word that was asked for stands in `text`. */
  touches(text: string): boolean {
    return this.#spans(text).length > 0;
  }

  /** `text` in pieces, the words that were asked for as hits. */
  mark(text: string): Pieces {
    return cutAt(text, this.#spans(text));
  }

  /** Pieces of `text` round what was asked for, at most three. */
  fragments(text: string): Pieces[] {
    const fragments: Pieces[] = [];
    let until = 0;
    for (const [first] of this.#spans(text)) {
      if (first < until) continue;
      if (fragments.length === MOST_FRAGMENTS) break;
      const begin = Math.max(until, first - BEFORE);
      until = begin + FRAGMENT;
      fragments.push(this.mark(wholeCharacters(text, begin, until)));
    }
    return fragments;
  }

  #spans(text: string): [number, number][] {
    const spans: [number, number][] = [];
    for (const match of text.matchAll(RUN)) {
      if (allWords(match[0]).some((word) => this.#asked.has(word))) {
        spans.push([match.index, match.index + match[0].length]);
      }
    }
    return spans;
  }
}

function standsIn(phrase: readonly string[], words: readonly string[]): boolean {
  for (let at = words.indexOf(phrase[0]!); at >= 0; at = words.indexOf(phrase[0]!, at + 1)) {
    if (phrase.every((word, offset) => words[at + offset] === word)) return true;
  }
  return false;
}

/** A slice that cuts no surrogate pair. */
function wholeCharacters(text: string, begin: number, end: number): string {
  const low = (at: number) => at > 0 && at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00;
  return text.slice(low(begin) ? begin + 1 : begin, low(end) ? end - 1 : end);
}
