"""What the watchdog and the metrics see of a worker's readers.

Only looks; never moves an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.exceptions import ConsumerNotStarted

from infra.watchdog import Standing
from streams.body import Body
from streams.delivery import Delivery
from streams.incoming import Partition
from streams.intake import Intake
from streams.lane import Lane


@dataclass(frozen=True, slots=True)
class Waits:
    """What of a partition is not committed: how many records, and the time of the first, if it was read already."""

    lag: int
    oldest_ms: int | None


class LaneReading:
    """A lane: its own next offsets against the broker's ends."""

    def __init__(self, lane: Lane, delivery: Delivery, ends: Callable[[], Any], prefix: str) -> None:
        self.name = lane.name
        self._lane = lane
        self._delivery = delivery
        self._ends = ends
        self._prefix = prefix

    @property
    def waiting(self) -> bool:
        """As `Watched` says."""
        return bool(self._lane.body.waiting) or self._delivery.waiting

    async def standings(self) -> Mapping[Partition, Standing]:
        """As `Watched` says."""
        return await _against_ends(self._lane.standings, self._ends(), self._prefix)

    async def waits(self) -> Mapping[Partition, Waits]:
        """What waits in each partition in hand, by what was delivered and committed; raises `KafkaError`."""
        committed = {place: (offset, False) for place, offset in self._lane.committed.items()}
        standings = await _against_ends(committed, self._ends(), self._prefix)
        return _waits(standings, self._lane.oldest_ms.get)


def faust_assignment(app: Any) -> set[Any]:
    """The partitions that Faust's consumer holds; none while it has not started."""
    try:
        return set(app.consumer.assignment())
    except ConsumerNotStarted:
        return set()


class FaustReading:
    """Faust's own consumer: the offsets that it committed against the broker's ends."""

    name = "faust"

    def __init__(
        self,
        app: Any,
        bodies: Mapping[str, Body],
        intakes: Mapping[str, Intake],
        *,
        delivery: Delivery,
        ends: Callable[[], Any],
        prefix: str,
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._intakes = intakes
        self._delivery = delivery
        self._ends = ends
        self._prefix = prefix

    @property
    def waiting(self) -> bool:
        """As `Watched` says."""
        return self._delivery.waiting or any(body.waiting for body in self._bodies.values())

    async def standings(self) -> Mapping[Partition, Standing]:
        """As `Watched` says; raises `LocalError` when a record failed for good."""
        for intake in self._intakes.values():
            intake.check()
        consumer = self._app.consumer
        standings: dict[Partition, tuple[int, bool]] = {}
        for at in faust_assignment(self._app):
            place = Partition(at.topic.removeprefix(self._prefix), at.partition)
            busy = any(intake.busy(place) for intake in self._intakes.values())
            standings[place] = consumer._committed_offset.get(at) or 0, busy  # noqa: SLF001 - Faust tells it nowhere else
        return await _against_ends(standings, self._ends(), self._prefix)

    async def waits(self) -> Mapping[Partition, Waits]:
        """As a lane's; raises `KafkaError`, and `LocalError` as `standings` does."""
        return _waits(await self.standings(), self._oldest_ms)

    def _oldest_ms(self, place: Partition) -> int | None:
        times = (intake.oldest_ms(place) for intake in self._intakes.values())
        return min((time_ms for time_ms in times if time_ms is not None), default=None)


def _waits(
    standings: Mapping[Partition, Standing], oldest_ms: Callable[[Partition], int | None]
) -> dict[Partition, Waits]:
    return {place: Waits(max(0, at.end - at.next_offset), oldest_ms(place)) for place, at in standings.items()}


async def _against_ends(
    standings: Mapping[Partition, tuple[int, bool]], consumer: Any, prefix: str
) -> dict[Partition, Standing]:
    """With the ends of the log; what its retention has taken away does not wait."""
    if not standings:
        return {}
    if consumer is None:
        raise KafkaError("not connected")
    places = {place: TopicPartition(prefix + place.topic, place.number) for place in standings}
    ends = await consumer.end_offsets(list(places.values()))
    oldest = await consumer.beginning_offsets(list(places.values()))
    return {
        place: Standing(offset if ends[at] > oldest[at] else ends[at], ends[at], busy)
        for place, (offset, busy) in standings.items()
        for at in (places[place],)
    }
