"""The processor `alerts`: what rules say of documents and activity, as records that PostgreSQL keeps.

Never tells the text of a document, and never an alert under two ids: reading a record again finds what is known.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import structlog

from infra.lifecycle import wall_clock_ms
from infra.rules.book import Edition, RuleBook
from infra.rules.evaluate import Match, Windows, evaluate
from infra.rules.observation import MINUTE_MS, Observation, of_document, of_span
from schemas.errors import MalformedError
from schemas.records import decode_record
from schemas.topics import ACTIVITY, DOCUMENTS
from streams.incoming import Incoming, Partition
from streams.outgoing import Outgoing, alert
from streams.past import Past

log = structlog.get_logger(__name__)

TOPICS = (ACTIVITY.name, DOCUMENTS.name)
MEASURED_IN = {"documents": DOCUMENTS.name, "active_minutes": ACTIVITY.name}
"""The topic that a volume is counted in."""

LATE_MS = 60 * MINUTE_MS
"""How much earlier than its window it reads back to: so much may be between two parts of what comes late."""


_REMEMBERED = 4096
_NONE = -1


class AlertProcessor:
    """Judges records by the rules in force. What windows held before the first record is read back from the topics."""

    stage = "alerts"

    def __init__(self, book: RuleBook, past: Past, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._book = book
        self._past = past
        self._clock_ms = clock_ms
        self._windows = Windows()
        self._counting: dict[Partition, frozenset[tuple[str, int]]] = {}
        self._counted_edition = _NONE
        self._reached: dict[Partition, int] = {}
        self._owed: dict[str, Match] = {}
        self._made: OrderedDict[tuple[Partition, int], dict[str, Match]] = OrderedDict()
        self._turn = asyncio.Lock()

    @property
    def holds(self) -> bool:
        """Whether it is this worker that judges."""
        return bool(self._reached)

    @property
    def windows(self) -> int:
        """How many windows it counts in."""
        return len(self._windows)

    async def begin(self, place: Partition, next_offset: int) -> None:
        """What windows hold is counted again before the first record: rules may not be known yet."""
        self._counted_edition = _NONE
        self._reached[place] = next_offset
        self._counting[place] = frozenset()

    def end(self, place: Partition, next_offset: int) -> None:  # noqa: ARG002 - `Processor`'s signature
        """Somebody else counts from here on."""
        self._reached.pop(place, None)
        self._counting.pop(place, None)
        if not self._reached:
            self._windows = Windows()
            self._owed.clear()
            self._made.clear()

    async def process(self, record: Incoming) -> Sequence[Outgoing]:
        """The alerts that the record raises; raises `UnavailableError` while no rules are known."""
        edition = self._book.edition
        if edition.number != self._counted_edition:
            await self._count_again(edition)
        matches = {match.alert_id: match for match in self._judge(edition, observations(record))}
        matches |= self._owed
        self._owed.clear()
        self._reached[record.place] = max(record.offset + 1, self._reached.get(record.place, 0))
        self._remember(record, matches)
        return [alert(match.record) for match in matches.values()]

    def _remember(self, record: Incoming, matches: dict[str, Match]) -> None:
        """A window tells once: what it told is kept for a while, in case that it is not delivered."""
        if matches:
            self._made[record.place, record.offset] = matches
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)

    async def forget(self, record: Incoming) -> None:
        """Its alerts are owed: they go out with the next record."""
        self._owed |= self._made.pop((record.place, record.offset), {})

    def _judge(self, edition: Edition, seen: Iterable[Observation]) -> list[Match]:
        return [match for one in seen for match in evaluate(edition.checks, edition.world, self._windows, one)]

    async def _count_again(self, edition: Edition) -> None:
        """What stands before the records to come, for rules that have not counted it."""
        async with self._turn:
            for place, offset in list(self._reached.items()):
                if not edition.windowed <= self._counting.get(place, frozenset()):
                    await self._read_back(place, offset, edition)
                    self._counting[place] = edition.windowed
            self._counted_edition = edition.number

    async def _read_back(self, place: Partition, end: int, edition: Edition) -> None:
        counting = [check for check in edition.checks if MEASURED_IN.get(check.rule.conditions.kind) == place.topic]
        if not counting or end <= 0:
            return
        reach_ms = max(check.window_ms for check in counting) + LATE_MS
        start = await self._past.offset_at(place, self._clock_ms() - reach_ms)
        if start is None or start >= end:
            return
        counted = 0
        async for record in self._past.read(place, start, end):
            counted += 1
            try:
                seen = list(observations(record))
            except MalformedError:
                continue  # it is a dead letter already
            for one in seen:
                for match in evaluate(counting, edition.world, self._windows, one):
                    self._owed[match.alert_id] = match
        log.info("windows_counted_again", topic=place.topic, partition=place.number, records=counted)


def observations(record: Incoming) -> Iterable[Observation]:
    """What a record of `TOPICS` shows; raises `MalformedError`. What is sealed end to end has nothing to judge."""
    if record.topic == ACTIVITY.name:
        return of_span(decode_record(record.value, "activity_span"))
    document = decode_record(record.value, "document")
    if document["end_to_end"]:
        return ()
    return (of_document(document, document["document_id"], document["time_ms"]),)
