"""Where in the archive what is asked for stands, by its index in PostgreSQL.

Never reads a file, and asks only for runs of the time, the streams and the agents in question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from gateway.recordings.asking import Ask, Job
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.seal import MAX_EPOCH_MS
from sinks.archive.layout import day_of
from sinks.archive.ranges import Stretch
from sinks.envelopes import MAX_TIME_MS
from sinks.postgresql.connection import Connection
from sinks.postgresql.rows import timestamp

WINDOW_MS = 10 * 60_000
"""A long time is asked for in windows of so much, so that no request to a reader grows with it."""

NEAR_MS = 310_000
"""So long before a moment there is a key frame of a screen that is being recorded: the policy's default, and a look."""

FAR_MS = MAX_EPOCH_MS + 60_000
"""So long before it the epoch began that goes on at a moment, and what is older says nothing of it."""

TERMINAL_MS = 2 * 3600_000
"""Terminals are shown from so long before, when that is asked for."""

MANY = 1000
"""So many stretches are worked on beside the event loop."""

_RUNS = """
SELECT file, stream, agent_id, byte_offset, byte_length, last_captured_at < $6 AS far
FROM archive_run
WHERE agent_id = ANY($1) AND stream = $2 AND last_captured_at >= $3 AND last_captured_at < $5 AND first_captured_at < $4
ORDER BY file, byte_offset"""

_FILES = "SELECT file, indexed_bytes FROM archive_file WHERE stream = ANY($1) AND day = ANY($2::text[]::date[])"


class Wish(NamedTuple):
    """What a person asks for, of people that it may see."""

    agents: tuple[bytes, ...]
    kinds: tuple[StreamKind, ...]
    since_ms: int
    until_ms: int

    def windows(self, length_ms: int = WINDOW_MS) -> Iterator[tuple[int, int]]:
        """The times in which it is asked of a reader."""
        for start in range(self.since_ms, self.until_ms, length_ms):
            yield start, min(start + length_ms, self.until_ms)


async def find_places(
    connection: Connection, wish: Wish, job: Job, *, start: bool = False, terminal: bool = False
) -> Ask:
    """What to ask of a reader. `start`: with what screens build on; `terminal`: terminals too."""
    near: list[Stretch] = []
    far: list[Stretch] = []
    agents = [UUID(bytes=agent) for agent in wish.agents]
    until = timestamp(wish.until_ms)
    latest = timestamp(min(wish.until_ms + FAR_MS, MAX_TIME_MS))
    for kind in wish.kinds:
        before_ms = _before_ms(kind, start=start, terminal=terminal)
        since = timestamp(max(0, wish.since_ms - before_ms))
        is_far = timestamp(max(0, wish.since_ms - min(before_ms, NEAR_MS))) if kind is StreamKind.SCREEN else since
        rows = await connection.fetch(_RUNS, agents, kind.label, since, until, latest, is_far)
        # A day of activity has tens of thousands: the event loop has others to serve.
        await asyncio.to_thread(_sort, rows, near, far) if len(rows) > MANY else _sort(rows, near, far)
    days = _days(wish)
    known = await connection.fetch(_FILES, [kind.label for kind in wish.kinds], list(days))
    indexed = {row["file"]: row["indexed_bytes"] for row in known}
    options = {"start": True} if start else {}
    if terminal:
        options["terminal"] = True
    return Ask(
        job, wish.agents, wish.kinds, wish.since_ms, wish.until_ms, tuple(near), tuple(far), days, indexed, options
    )


def _before_ms(kind: StreamKind, *, start: bool, terminal: bool) -> int:
    if kind is StreamKind.SCREEN and start:
        return FAR_MS
    return TERMINAL_MS if kind is StreamKind.KEYSTROKES and terminal else 0


def _sort(rows: Iterable[Mapping[str, Any]], near: list[Stretch], far: list[Stretch]) -> None:
    for row in rows:
        stretch = Stretch(row["file"], row["byte_offset"], row["byte_offset"] + row["byte_length"])
        (far if row["far"] else near).append(stretch)


def _days(wish: Wish) -> tuple[str, ...]:
    """The days of the archive on which an epoch of that time may have begun."""
    first, last = day_of(max(0, wish.since_ms - FAR_MS)), day_of(wish.until_ms)
    days = [first]
    at_ms = max(0, wish.since_ms - FAR_MS)
    while days[-1] != last:
        at_ms += 86_400_000
        days.append(day_of(min(at_ms, wish.until_ms)))
    return tuple(dict.fromkeys(days))


async def agents_of(connection: Connection, agents: Sequence[UUID]) -> dict[UUID, str]:
    """Whose recordings these agents make."""
    rows = await connection.fetch("SELECT agent_id, user_name FROM agent WHERE agent_id = ANY($1)", list(agents))
    return {row["agent_id"]: row["user_name"] for row in rows}


def parse_kinds(labels: Sequence[str]) -> tuple[StreamKind, ...]:
    """The streams of these names; raises `MalformedError` for others, and for those that show nothing."""
    shown = [kind for kind in StreamKind if kind not in {StreamKind.INDEX, StreamKind.GAP}]
    by_label = {kind.label: kind for kind in shown}
    unknown = [label for label in labels if label not in by_label]
    if unknown:
        raise MalformedError(f"no stream {unknown[0][:40]!r} is shown; there are {', '.join(by_label)}", "bad_scope")
    return tuple(by_label[label] for label in dict.fromkeys(labels))
