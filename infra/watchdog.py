"""Watchdog: notices a reader of Kafka that stands still while it claims to be well, and partitions that nobody holds.

Never ends a process by itself: it raises, and whoever runs it crashes in plain sight and is started again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog
from aiokafka.errors import KafkaError

from schemas.errors import LocalError, UnavailableError

log = structlog.get_logger(__name__)

IDLE_S = 90.0
"""How long a reader may leave records waiting while it works on none of them."""

BUSY_S = 900.0
"""How long it may work on one record: reading a large screen takes its time, a process that hangs takes for ever."""

UNHELD_S = 90.0
"""How long partitions may belong to no member of their group. A group shares itself out anew within seconds."""

LOOK_S = 10.0

Place = TypeVar("Place", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a reader stands in a partition; `busy` says that it works on the record at `next_offset`."""

    next_offset: int
    end: int
    busy: bool = False


@dataclass(slots=True)
class _Stop:
    next_offset: int
    busy: bool
    since: float


class StallDetector(Generic[Place]):
    """Notices a partition whose next offset stands still while records wait. Reads no clock."""

    def __init__(self, idle_s: float = IDLE_S, busy_s: float = BUSY_S) -> None:
        self._idle_s = idle_s
        self._busy_s = busy_s
        self._stops: dict[Place, _Stop] = {}

    def look(self, standings: Mapping[Place, Standing], now: float, *, excused: bool) -> list[Place]:
        """The partitions that stall; `excused` says that the reader waits for a dependency and says so."""
        stops = self._stops
        self._stops = {}
        stalled: list[Place] = []
        for place, standing in standings.items():
            stop = stops.get(place)
            moved = stop is None or (stop.next_offset, stop.busy) != (standing.next_offset, standing.busy)
            if stop is None or moved or excused or standing.next_offset >= standing.end:
                stop = _Stop(standing.next_offset, standing.busy, now)
            self._stops[place] = stop
            if now - stop.since >= (self._busy_s if standing.busy else self._idle_s):
                stalled.append(place)
        return stalled


class Watched(Protocol[Place]):
    """A reader of partitions, whatever its kind."""

    name: str

    @property
    def waiting(self) -> bool:
        """Whether it waits for a dependency, and says so."""
        ...

    async def standings(self) -> Mapping[Place, Standing]:
        """Where it stands, and what the broker has; raises `KafkaError`."""
        ...


async def keep_watch(
    watched: Watched[Place],
    *,
    detector: StallDetector[Place] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look again and again; raises `LocalError` for a reader that stalls, which ends its process."""
    detector = detector or StallDetector()
    while True:
        await sleep(LOOK_S)
        try:
            async with asyncio.timeout(LOOK_S):
                standings = await watched.standings()
        except (KafkaError, TimeoutError) as error:
            log.warning("watchdog_blind", reader=watched.name, error=type(error).__name__)
            standings = {}
        stalled = detector.look(standings, clock(), excused=watched.waiting)
        if stalled:
            raise LocalError(f"{watched.name} stands still at {_names(stalled)} while records wait")


@dataclass(frozen=True, slots=True)
class Holding(Generic[Place]):
    """Who holds what of a group: all partitions of its topics, those that members hold, and those that are ours."""

    wanted: Collection[Place]
    held: Collection[Place]
    ours: Collection[Place]


class UnheldDetector(Generic[Place]):
    """Notices partitions that stay without a holder. Reads no clock."""

    def __init__(self, unheld_s: float = UNHELD_S) -> None:
        self._unheld_s = unheld_s
        self._since: dict[Place, float] = {}

    def look(self, holding: Holding[Place], now: float) -> list[Place]:
        """The partitions that have been without a holder for too long."""
        unheld = set(holding.wanted) - set(holding.held)
        self._since = {place: self._since.get(place, now) for place in unheld}
        return [place for place, since in self._since.items() if now - since >= self._unheld_s]


async def keep_held(
    group: str,
    read_holding: Callable[[], Awaitable[Holding[Place]]],
    *,
    detector: UnheldDetector[Place] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look again and again; raises `LocalError` in one member of a group that leaves partitions to nobody.

    When that member leaves and comes again the group shares itself out anew. It is the one that holds the first of what
    is held; where nobody holds anything, every member is.
    """
    detector = detector or UnheldDetector()
    while True:
        await sleep(LOOK_S)
        try:
            async with asyncio.timeout(LOOK_S):
                holding = await read_holding()
        except (KafkaError, UnavailableError, TimeoutError) as error:
            log.warning("watchdog_blind", reader=group, error=type(error).__name__)
            detector.look(Holding((), (), ()), clock())
            continue
        unheld = detector.look(holding, clock())
        first = min(holding.held, key=str, default=None)
        if unheld and (first is None or first in holding.ours):
            raise LocalError(f"nobody in the group {group} holds {_names(unheld)}")


def _names(places: Collection[Place]) -> str:
    shown = sorted("/".join(map(str, place)) if isinstance(place, tuple) else str(place) for place in places)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
