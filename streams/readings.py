"""What the watchdog and the metrics see of a worker's readers.

Only looks; never moves an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.body import Body
from streams.delivery import Delivery
from streams.incoming import Partition
from streams.lane import Lane
from streams.watchdog import Standing


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
        return await _against_ends(self._lane.offsets, self._ends(), self._prefix)


class FaustReading:
    """Faust's own consumer: the offsets that it committed against the broker's ends."""

    name = "faust"

    def __init__(
        self, app: Any, bodies: Mapping[str, Body], delivery: Delivery, ends: Callable[[], Any], prefix: str
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._delivery = delivery
        self._ends = ends
        self._prefix = prefix

    @property
    def waiting(self) -> bool:
        """As `Watched` says."""
        return self._delivery.waiting or any(body.waiting for body in self._bodies.values())

    async def standings(self) -> Mapping[Partition, Standing]:
        """As `Watched` says."""
        consumer = self._app.consumer
        offsets = {
            Partition(at.topic.removeprefix(self._prefix), at.partition): consumer._committed_offset.get(at) or 0  # noqa: SLF001 - Faust tells it nowhere else
            for at in consumer.assignment()
        }
        return await _against_ends(offsets, self._ends(), self._prefix)


async def _against_ends(offsets: Mapping[Partition, int], consumer: Any, prefix: str) -> dict[Partition, Standing]:
    if not offsets:
        return {}
    if consumer is None:
        raise KafkaError("not connected")
    places = {place: TopicPartition(prefix + place.topic, place.number) for place in offsets}
    ends = await consumer.end_offsets(list(places.values()))
    return {place: Standing(offset, ends[places[place]]) for place, offset in offsets.items()}
