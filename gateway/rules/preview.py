"""A rule before it is in force: what it would have matched, from today backwards, as long as there is time for it.

Never says that it looked where it did not: what was searched is told, and less than asked for is told as such.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from gateway.api.times import from_ms, to_ms
from infra.rules.evaluate import MIB, Check, Match, Windows, World, evaluate
from infra.rules.observation import Observation, of_document, of_span
from infra.rules.store import fetch_envelopes
from sinks.elasticsearch.scanning import busy_people, narrow, scan_documents

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

    from gateway.api.services import Services
    from sinks.postgresql.connection import Connection

DAY_MS = 86_400_000
BUDGET_S = 4.0
MAX_SEEN = 50_000
"""Things that one preview looks at."""

MAX_SAMPLES = 20

_SPANS = """
SELECT agent_id, encode(epoch_id, 'hex') AS epoch_id, sequence, ordinal, user_name AS user, computer, application,
       hour, active_ms, active
FROM activity_span
WHERE hour >= $1 AND hour < $2 AND ($3::text[] IS NULL OR user_name = ANY($3)) AND active_ms > 0
  AND user_name IN (
    SELECT user_name FROM activity_total
    WHERE hour >= $1 AND hour < $2 AND ($3::text[] IS NULL OR user_name = ANY($3))
    GROUP BY user_name HAVING sum(active_ms) > $4
  )
ORDER BY hour LIMIT $5"""


@dataclass(slots=True)
class Sample:
    """A match with a piece of its text."""

    match: Match
    fragment: str


@dataclass(slots=True)
class Preview:
    """What was found; `since_ms` is how far back it looked, which is later than asked for when `cut`."""

    since_ms: int
    until_ms: int
    matches: list[tuple[str, int]] = field(default_factory=list)
    """Person and time of each."""
    samples: list[Sample] = field(default_factory=list)
    """The newest of them."""
    seen: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Stores:
    """Where what was recorded is looked up."""

    elasticsearch: AsyncElasticsearch
    prefix: str
    services: Services


async def preview(
    stores: Stores,
    check: Check,
    world: World,
    persons: Collection[str] | None,
    times: tuple[int, int],
    *,
    budget_s: float = BUDGET_S,
) -> Preview:
    """What the rule matches of `persons` (`None`: everybody) between two times, day by day from the last one.

    Windows never go over the end of a day (UTC), so each day is whole or not looked at. Raises `UnavailableError`.
    """
    since_ms, until_ms = times
    found = Preview(until_ms, until_ms)
    windows = Windows()
    ends_at = time.monotonic() + budget_s
    while found.since_ms > since_ms:
        day_ms = max(since_ms, (found.since_ms - 1) // DAY_MS * DAY_MS)
        day = Preview(day_ms, found.since_ms)
        async for page in _pages(stores, check, world, persons, day):
            day.seen += len(page)
            await asyncio.to_thread(_judge, check, world, windows, page, day)
            if found.seen + day.seen >= MAX_SEEN or time.monotonic() > ends_at:
                day.cut = True
                break
        _add_day(found, day)
        if day.cut:
            break
    return found


def _add_day(found: Preview, day: Preview) -> None:
    found.seen += day.seen
    found.cut = day.cut
    found.matches += day.matches
    found.samples = (found.samples + day.samples)[:MAX_SAMPLES]  # the days come the newest first
    found.since_ms = day.since_ms


def _judge(check: Check, world: World, windows: Windows, page: Sequence[Observation], day: Preview) -> None:
    matches = [match for seen in page for match in evaluate([check], world, windows, seen)]
    day.matches += [(match.seen.person, match.seen.time_ms) for match in matches]
    newest = nlargest(MAX_SAMPLES, matches, key=_time_of)
    samples = [*day.samples, *(Sample(match, check.fragment(match.seen)) for match in newest)]
    day.samples = nlargest(MAX_SAMPLES, samples, key=lambda sample: _time_of(sample.match))


def _time_of(match: Match) -> int:
    return match.seen.time_ms


def _pages(
    stores: Stores, check: Check, world: World, persons: Collection[str] | None, day: Preview
) -> AsyncIterator[list[Observation]]:
    match check.subject:
        case "document":
            return _documents(stores, check, world, persons, day)
        case "span":
            return _spans(stores, check, persons, day)
        case "envelopes":
            return _sizes(stores, check, persons, day)


async def _documents(
    stores: Stores, check: Check, world: World, persons: Collection[str] | None, day: Preview
) -> AsyncIterator[list[Observation]]:
    conditions = check.rule.conditions
    members = {one for team in conditions.teams for one in world.teams.get(team, ())} if conditions.teams else None
    filters = narrow(conditions, members, persons)
    if conditions.volume is not None:
        busy = await busy_people(
            stores.elasticsearch,
            stores.prefix,
            filters,
            day.since_ms,
            day.until_ms,
            more_than=conditions.volume.more_than,
        )
        if not busy:
            return
        filters.append({"terms": {"user": busy}})
    pages = scan_documents(
        stores.elasticsearch, stores.prefix, filters, day.since_ms, day.until_ms, texts=conditions.volume is None
        or bool(conditions.words),
    )  # fmt: skip
    async for hits in pages:
        yield [one for hit in hits if persons is None or hit["_source"]["user"] in persons for one in [_document(hit)]]


def _document(hit: dict[str, Any]) -> Observation:
    source = {"text": "", "sender": "", "recipients": [], "attachments": [], **hit["_source"]}
    return of_document(source, hit["_id"], _moment_ms(source["@timestamp"]))


def _moment_ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


async def _spans(
    stores: Stores, check: Check, persons: Collection[str] | None, day: Preview
) -> AsyncIterator[list[Observation]]:
    volume = check.rule.conditions.volume
    assert volume is not None
    async with stores.services.database() as connection:
        rows = await _fetch_spans(connection, day, persons, volume.more_than * 60_000)
    day.cut = day.cut or len(rows) >= MAX_SEEN
    for at in range(0, len(rows), 500):
        yield [one for row in rows[at : at + 500] for one in of_span(_span(row))]


async def _fetch_spans(
    connection: Connection, day: Preview, persons: Collection[str] | None, more_than: float
) -> list[Any]:
    names = None if persons is None else sorted(persons)
    return list(
        await connection.fetch(_SPANS, from_ms(day.since_ms), from_ms(day.until_ms), names, int(more_than), MAX_SEEN)
    )


def _span(row: Any) -> dict[str, Any]:
    runs = [{"from_ms": to_ms(run.lower), "until_ms": to_ms(run.upper)} for run in row["active"]]
    return {**row, "agent_id": str(row["agent_id"]), "hour_ms": to_ms(row["hour"]), "active": runs}


async def _sizes(
    stores: Stores, check: Check, persons: Collection[str] | None, day: Preview
) -> AsyncIterator[list[Observation]]:
    volume = check.rule.conditions.volume
    assert volume is not None
    async with stores.services.database() as connection:
        seen = await fetch_envelopes(
            connection,
            from_ms(day.since_ms),
            from_ms(day.until_ms),
            more_than=volume.more_than * MIB,
            persons=None if persons is None else sorted(persons),
            limit=MAX_SEEN,
        )
    day.cut = day.cut or len(seen) >= MAX_SEEN
    for at in range(0, len(seen), 500):
        yield seen[at : at + 500]
