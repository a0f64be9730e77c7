"""Searching end-to-end text with unlocked keys: roots, tokens, candidates, and comparing what was opened (R6.10).

Never lets the server see a word or an opened text: both stay in this process, and are gone with it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import structlog
from elasticsearch import AsyncElasticsearch

from infra.text.email import email_passages
from schemas.blind_index import FIELDS, TEXT, TITLE, Ratchet, Root, day_of, parse_root, query_tokens, token_text
from schemas.errors import ConfigError, MalformedError, RemoteError
from schemas.identity import EnvelopeId, agent_bytes
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener, PartJoiner
from schemas.records import decode_segment, decode_text
from schemas.topics import DAY_MS
from sinks.archive.finding import find_segments
from sinks.elasticsearch.blind import MOST_TERMS, Candidate, Span, find_candidates, find_spans
from sinks.elasticsearch.search import MARK_END, MARK_START, Answer, Hit, Question
from sinks.matching import Wanted
from sinks.postgresql.connection import Connection

log = structlog.get_logger(__name__)

MOST_CANDIDATES = 2000
"""Opened and compared for one search."""

MOST_REQUESTS = 50
_AT_ONCE = 50
_LOOK_BACK_DAYS = 7
_EPOCH_DIGITS = 32

_FIELDS = {"email": FIELDS, "keystrokes": (TEXT, TITLE), "screen": (TEXT, TITLE)}

_ROOTS = """
SELECT agent_id, epoch_id, sequence FROM envelope
WHERE stream = 'index' AND end_to_end AND agent_id = ANY($1::uuid[]) AND captured_at BETWEEN $2 AND $3"""


class _Key(NamedTuple):
    key: bytes
    fields: Sequence[str]


Origin = tuple[str, int, int]
"""Epoch (the hex digits that a document's id has of it), sequence and ordinal of where a text began."""


class Text(NamedTuple):
    """What was opened of one document. `others` are people and names of attachments."""

    title: str
    text: str
    others: tuple[str, ...] = ()
    application: str = ""


@dataclass
class Effort:
    """What a search took, for the person and the audit trail."""

    days: int = 0
    """Days of streams of agents whose tokens were asked for."""
    shut_roots: int = 0
    """Roots that these keys do not open."""
    terms: int = 0
    opened: int = 0
    not_opened: int = 0
    missing: int = 0
    """Candidates whose envelope is not in the archive (yet, or any more)."""
    false_hits: int = 0
    """Candidates that had the tokens, and not what was asked for."""
    agents: set[str] = field(default_factory=set)


class BlindSearch:
    """One search with the keys of `opener`."""

    def __init__(
        self, client: AsyncElasticsearch, prefix: str, connection: Connection, archive: Path, opener: Opener
    ) -> None:
        self.effort = Effort()
        self._client = client
        self._prefix = prefix
        self._connection = connection
        self._archive = archive
        self._opener = opener

    async def search(self, question: Question) -> Answer:
        """The answer. Raises `ConfigError` for a question that an index of hashes cannot answer."""
        if question.fuzzy:
            raise ConfigError("an index of hashes knows whole words: a search with --unlock cannot be --fuzzy")
        wanted = Wanted(question.text)
        began = datetime.now(UTC)
        keys = await self._find_keys(await find_spans(self._client, self._prefix, question))
        candidates = await self._find_candidates(question, wanted.words, keys)
        hits: list[Hit] = []
        compared = 0
        while compared < len(candidates) and len(hits) < question.limit:
            some = candidates[compared : compared + max(_AT_ONCE, question.limit)]
            hits += await self._compare(wanted, some)
            compared += len(some)
        at_least = compared < len(candidates) or len(candidates) >= MOST_CANDIDATES
        took_ms = (datetime.now(UTC) - began) // timedelta(milliseconds=1)
        return Answer(tuple(hits[: question.limit]), len(hits), at_least, took_ms)

    async def _find_keys(self, spans: Sequence[Span]) -> list[_Key]:
        """The key of each day of each stream of each agent in scope, as far as these identities open its root."""
        if not spans:
            return []
        roots = await self._open_roots(spans)
        keys: list[_Key] = []
        for span in spans:
            self.effort.agents.add(span.agent_id)
            days = range(day_of(span.from_ms), day_of(span.until_ms) + 2)  # told a moment after it was seen
            for line in roots.get((span.agent_id, span.stream), {}).values():
                keys += [_Key(key, _FIELDS[span.stream]) for key in _keys_of(line, days)]
        self.effort.days = len(keys)
        return keys

    async def _open_roots(self, spans: Sequence[Span]) -> dict[tuple[str, str], dict[bytes, list[Root]]]:
        """Roots by agent and stream, then by root id."""
        ids = await find_roots(self._connection, spans)
        found: dict[tuple[str, str], dict[bytes, list[Root]]] = defaultdict(lambda: defaultdict(list))
        for envelope_id, parts in (await find_segments(self._connection, self._archive, ids)).items():
            opened = self._open(parts)
            if opened is None or opened.record.content_type != ContentType.INDEX_ROOT:
                self.effort.shut_roots += 1
                continue
            root = parse_root(opened.plaintext)
            found[envelope_id.agent, root.stream.label][root.root_id].append(root)
        return found

    async def _find_candidates(self, question: Question, words: Sequence[str], keys: Sequence[_Key]) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        for number, some in enumerate(_portions(keys, len(words))):
            if number == MOST_REQUESTS:
                raise ConfigError("too many days and agents are in scope: narrow the search by --agent and --since")
            tokens = [[token_text(one) for key in some for one in query_tokens(key.key, w, key.fields)] for w in words]
            self.effort.terms += sum(map(len, tokens))
            for one in await find_candidates(self._client, self._prefix, question, tokens, MOST_CANDIDATES):
                found[one.document_id] = one
        ordered = sorted(found.values(), key=lambda one: one.time, reverse=question.order != "oldest")
        return ordered[:MOST_CANDIDATES]

    async def _compare(self, wanted: Wanted, candidates: Sequence[Candidate]) -> list[Hit]:
        """Those of the candidates that say what was asked for; each segment is opened once."""
        places = [EnvelopeId(agent_bytes(one.agent_id), one.epoch_id, one.sequence) for one in candidates]
        sealed = await find_segments(self._connection, self._archive, places)
        texts = {place: await asyncio.to_thread(self._read, parts) for place, parts in sealed.items()}
        hits: list[Hit] = []
        for one, place in zip(candidates, places, strict=True):
            if place not in texts:
                self.effort.missing += 1
                continue
            text = texts[place].get(_origin_of(one.document_id))
            if text is None:
                self.effort.not_opened += 1
                continue
            self.effort.opened += 1
            if wanted.met_by((text.title, text.text, *text.others)):
                hits.append(_hit(one, text, wanted))
            else:
                self.effort.false_hits += 1
        return hits

    def _read(self, parts: Sequence[bytes]) -> dict[Origin, Text]:
        """The texts of a segment, none when it does not open with these keys."""
        opened = self._open(parts)
        try:
            return read_texts(opened) if opened else {}
        except MalformedError:
            return {}

    def _open(self, parts: Sequence[bytes]) -> Opened | None:
        joiner = PartJoiner()
        whole = None
        try:
            for part in parts:
                whole = joiner.add(self._opener.open(part))
        except RemoteError:
            return None
        return whole


async def find_roots(connection: Connection, spans: Sequence[Span]) -> list[EnvelopeId]:
    """Where the roots stand that open the index of these times, as far back as one may have to go."""
    if not spans:
        return []
    since = datetime.fromtimestamp(min(span.from_ms for span in spans) / 1000 - _LOOK_BACK_DAYS * 86_400, UTC)
    until = datetime.fromtimestamp((max(span.until_ms for span in spans) + 2 * DAY_MS) / 1000, UTC)
    agents = [UUID(one) for one in {span.agent_id for span in spans}]
    rows = await connection.fetch(_ROOTS, agents, since, until)
    return [EnvelopeId(row["agent_id"].bytes, row["epoch_id"], row["sequence"]) for row in rows]


def read_texts(opened: Opened) -> dict[Origin, Text]:
    """The texts of an end-to-end segment by where they began: messages, or what was read beside a stream."""
    texts: dict[Origin, Text] = {}
    if opened.record.content_type == ContentType.TEXT:
        for passage in decode_text(opened.plaintext):
            origin = _origin(passage["origin_epoch"], passage["origin_sequence"], passage["ordinal"])
            texts[origin] = Text(passage["title"], passage["text"], (), passage["application"])
    elif opened.record.content_type == ContentType.SEGMENT and opened.record.kind is StreamKind.EMAIL:
        for message in email_passages(decode_segment(StreamKind.EMAIL, opened.plaintext)):
            origin = _origin(opened.id.epoch_id, opened.id.sequence, message.ordinal)
            others = (message.sender, *message.recipients, *message.attachments)
            texts[origin] = Text(message.title, message.text, others)
    return texts


def _origin(epoch_id: bytes, sequence: int, ordinal: int) -> Origin:
    return epoch_id.hex()[:_EPOCH_DIGITS], sequence, ordinal


def _origin_of(document_id: str) -> Origin:
    """The way back from `schemas.identity.document_id`."""
    _, epoch, sequence, ordinal = document_id.rsplit("-", 3)
    return epoch, int(sequence), int(ordinal)


def _keys_of(roots: Sequence[Root], days: range) -> Iterator[bytes]:
    """The keys of these days under one root: from the root of a day itself, or the last before it."""
    known = {root.day: root for root in roots}
    for day in days:
        before = [start for start in known if start <= day]
        if not before or (day - max(before) > _LOOK_BACK_DAYS):
            continue
        ratchet = Ratchet(known[max(before)].secret, max(before))
        ratchet.advance(day)
        yield ratchet.key
        ratchet.erase()


def _portions(keys: Sequence[_Key], words: int) -> Iterator[list[_Key]]:
    """Keys in portions whose tokens fit one request."""
    most = max(1, MOST_TERMS // (words * len(FIELDS) * 4))
    for at in range(0, len(keys), most):
        yield list(keys[at : at + most])


def _hit(one: Candidate, text: Text, wanted: Wanted) -> Hit:
    fragments = [
        *wanted.fragments(text.text, MARK_START, MARK_END),
        *(wanted.mark(other, MARK_START, MARK_END) for other in text.others if wanted.mark(other, "\0", "") != other),
    ]
    return Hit(
        document_id=one.document_id,
        index=one.index,
        score=None,
        time=one.time,
        until=one.until,
        agent_id=one.agent_id,
        user=one.user,
        computer=one.computer,
        stream=one.stream,
        kind=one.kind,
        application=text.application,
        title=wanted.mark(text.title, MARK_START, MARK_END),
        fragments=tuple(fragments) or (text.text[:140],),
        source={"title": text.title, "text": text.text},
    )
