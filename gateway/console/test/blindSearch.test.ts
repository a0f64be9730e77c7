/** A search of what Python sealed and indexed, through a server that has only what the real one has. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { isNamed } from "../src/blindsearch/names";
import { BlindSearch, limitsOf, newEffort, type Effort, type Question, type SealedHit } from "../src/blindsearch/search";
import type { Candidate, Place, Scope, Server, Tokens } from "../src/blindsearch/server";
import { originOf } from "../src/blindsearch/texts";
import { QuestionError } from "../src/blindsearch/wanted";
import { utf8 } from "../src/unlock/bytes";
import { LockedError } from "../src/unlock/errors";
import { UnlockSession } from "../src/unlock/session";
import { failureOf } from "./material";

const key = material.keys.find((one) => one.name === "one round")!;
const { spans, roots, documents, segments } = material.blind;
const EVERYTHING: Scope = { person: [], team: [], endpoint: [], stream: [], since_ms: undefined, until_ms: undefined };

/** Finds documents by their hashes, as Elasticsearch does; `asked` is all that it was told. */
class FakeServer implements Server {
  readonly asked: unknown[] = [];
  extra: readonly Candidate[] = [];
  lost = false;

  async roots(scope: Scope) {
    this.asked.push(scope);
    return { spans, envelopes: roots, more: false };
  }

  async candidates(scope: Scope, asked: Tokens) {
    this.asked.push(scope, asked);
    const has = (tokens: readonly string[]) => asked.tokens.every((word) => word.some((token) => tokens.includes(token)));
    const found = documents.filter((one) => has(one.tokens)).map((one) => one.candidate);
    return { candidates: [...found, ...this.extra], more: false };
  }

  async sealed(places: readonly Place[]) {
    this.asked.push(places);
    const wanted = new Set(places.map((place) => place.epoch));
    return this.lost ? [] : segments.filter((one) => wanted.has(one.epoch));
  }
}

async function unlocked(): Promise<UnlockSession> {
  const session = new UnlockSession();
  await session.addKey(key.pem, utf8(key.passphrase));
  return session;
}

interface Outcome {
  hits: SealedHit[];
  effort: Effort;
  server: FakeServer;
}

async function ask(text: string, change: Partial<Question> = {}, server = new FakeServer()): Promise<Outcome> {
  const search = new BlindSearch(await unlocked(), server);
  let effort = newEffort();
  const question = { text, scope: EVERYTHING, order: "newest", limit: 100, ...change } as const;
  const hits = await search.search(question, new AbortController().signal, (now) => (effort = { ...now }));
  return { hits, effort, server };
}

const titles = ({ hits }: Outcome) => hits.map((hit) => hit.text.title);

describe("a blind search", () => {
  it("finds words of all days and in all fields, the newest first", async () => {
    expect(titles(await ask("walrus"))).toEqual(["Lunch", "Overdue walrus"]);
    expect(titles(await ask("walrus", { order: "oldest" }))).toEqual(["Overdue walrus", "Lunch"]);
    expect(titles(await ask("walrus lunch"))).toEqual(["Lunch"]);
    expect(titles(await ask("offer bob@example.com"))).toEqual(["Lunch", "Overdue walrus"]);
    expect(titles(await ask("giraffe"))).toEqual([]);
  });

  it("compares phrases with what it opened", async () => {
    expect(titles(await ask('"wire transfer of"'))).toEqual(["Overdue walrus"]);
    const swapped = await ask('"transfer wire"');
    expect(titles(swapped)).toEqual([]);
    expect(swapped.effort.falseHits).toBe(1);
  });

  it("reads text of screens with the places of its lines", async () => {
    const { hits } = await ask("penguin shipment");
    expect(hits[0]!.text.application).toBe("editor");
    expect(hits[0]!.text.lines).toEqual([
      expect.objectContaining({ text: "the penguin shipment", x: 10, y: 0, display: 1, wentMs: undefined }),
      expect.objectContaining({ text: "leaves at noon", y: 20 }),
    ]);
  });

  it("tells the server no word", async () => {
    const { server } = await ask('walrus "wire transfer" penguin');
    const told = JSON.stringify(server.asked);
    expect(told).toContain('"tokens"');
    for (const word of ["walrus", "wire", "transfer", "penguin"]) expect(told).not.toContain(word);
  });

  it("says what it could not search", async () => {
    const { effort } = await ask("walrus");
    expect(effort.shutRoots).toBe(1); // another's
    expect(limitsOf(effort)).toEqual(["1 indexes are for other keys and were not searched."]);
    const lost = new FakeServer();
    lost.lost = true;
    const gone = await ask("walrus", {}, lost);
    expect(gone.effort.missing).toBe(2);
    const stranger = new FakeServer();
    const [first] = documents;
    stranger.extra = [{ ...first!.candidate, id: `${first!.candidate.id}9` }];
    expect((await ask("penguin", {}, stranger)).effort.notOpened).toBe(1);
  });

  it("takes computers as the other search does", async () => {
    expect(titles(await ask("walrus", { scope: { ...EVERYTHING, endpoint: ["DESK*"] } })).length).toBe(2);
    expect(titles(await ask("walrus", { scope: { ...EVERYTHING, endpoint: ["laptop"] } }))).toEqual([]);
  });

  it("refuses what hashes cannot answer before it asks anything", async () => {
    const server = new FakeServer();
    expect(await failureOf(ask("wal*", {}, server))).toBeInstanceOf(QuestionError);
    expect(server.asked).toEqual([]);
  });

  it("finds nothing once it is locked", async () => {
    const session = await unlocked();
    const search = new BlindSearch(session, new FakeServer());
    session.lock();
    const question = { text: "walrus", scope: EVERYTHING, order: "newest", limit: 10 } as const;
    expect(await failureOf(search.search(question, new AbortController().signal, () => {}))).toBeInstanceOf(LockedError);
  });
});

describe("names", () => {
  it("are whole, in any case, with * for anything", () => {
    expect(isNamed("desk-1", [])).toBe(true);
    expect(isNamed("desk-1", ["Desk-1"])).toBe(true);
    expect(isNamed("desk-12", ["desk-1"])).toBe(false);
    expect(isNamed("a.b", ["axb"])).toBe(false);
    expect(isNamed("C++ (x)", ["c++ (*"])).toBe(true);
  });
});

it("the id of a document tells where its text began", () => {
  expect(originOf("6a18060e-8d3a-7c14-4213-38a0b3a0109d-5605571c62c711a908946a5e71329944-0000000003-1")).toBe(
    "5605571c62c711a908946a5e71329944-3-1",
  );
});
