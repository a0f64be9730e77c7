"""Watchdog: a worker whose lag grows while it claims to be well is ended, so that a fresh one goes on.

Never ends a worker that says what it waits for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError

from schemas.errors import LocalError
from streams.incoming import Partition

log = structlog.get_logger(__name__)

STALLED_S = 900.0
LOOK_S = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands in one partition that this worker holds."""

    next_offset: int
    end: int


@dataclass(slots=True)
class _Stop:
    next_offset: int
    end: int
    since: float


class StallDetector:
    """Notices a partition whose next offset stands still while records arrive. Reads no clock."""

    def __init__(self, stalled_s: float = STALLED_S) -> None:
        self._stalled_s = stalled_s
        self._stops: dict[Partition, _Stop] = {}

    def look(self, standings: Mapping[Partition, Standing], now: float, *, excused: bool) -> list[Partition]:
        """The partitions that stall; `excused` says that the worker waits for a dependency and says so."""
        stops = self._stops
        self._stops = {}
        stalled: list[Partition] = []
        for place, standing in standings.items():
            stop = stops.get(place)
            caught_up = standing.next_offset >= standing.end
            if stop is None or stop.next_offset != standing.next_offset or caught_up or excused:
                stop = _Stop(standing.next_offset, standing.end, now)
            self._stops[place] = stop
            if now - stop.since >= self._stalled_s and standing.end > stop.end:
                stalled.append(place)
        return stalled


class Watched(Protocol):
    """A reader of partitions, whatever its kind."""

    name: str

    @property
    def waiting(self) -> bool:
        """Whether it waits for a dependency, and says so."""
        ...

    async def standings(self) -> Mapping[Partition, Standing]:
        """Where it stands, as the broker sees it; raises `KafkaError`."""
        ...


async def keep_watch(
    watched: Watched,
    *,
    detector: StallDetector | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look again and again; raises `LocalError` for a reader that stalls, which ends the worker."""
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
            places = ", ".join(f"{place.topic}/{place.number}" for place in stalled)
            raise LocalError(f"{watched.name} stands still at {places} while records arrive")
