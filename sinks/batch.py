"""Records that were polled and are not yet committed, by partition.

Never reorders a partition, and forgets a partition whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from aiokafka import ConsumerRecord, TopicPartition

from sinks.sink import SinkRecord


class Batch:
    """Records by partition, in the order of their offsets. `since_s` is when the first one came."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, list[SinkRecord]] = {}
        self.size = 0
        """Bytes."""
        self.since_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._partitions)

    def add(self, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]], now_s: float, *, prefix: str = "") -> None:
        """Append what a poll returned."""
        for partition, records in polled.items():
            if not records:
                continue
            if not self._partitions:
                self.since_s = now_s
            topic = partition.topic.removeprefix(prefix)
            kept = self._partitions.setdefault(partition, [])
            for record in records:
                seen = SinkRecord(
                    topic,
                    record.partition,
                    record.offset,
                    record.timestamp,
                    record.key,
                    record.value or b"",
                    tuple(record.headers),
                )
                kept.append(seen)
                self.size += seen.size

    def extend(self, newer: Batch) -> None:
        """Append the records of `newer`, which were polled after these."""
        for partition, records in newer._partitions.items():
            self._partitions.setdefault(partition, []).extend(records)
        self.size += newer.size

    def drop(self, partitions: Iterable[TopicPartition]) -> int:
        """Forget these partitions' records; how many there were."""
        dropped = 0
        for partition in partitions:
            records = self._partitions.pop(partition, [])
            dropped += len(records)
            self.size -= sum(record.size for record in records)
        return dropped

    def records(self) -> list[SinkRecord]:
        """All of them."""
        return [record for records in self._partitions.values() for record in records]

    def first_offsets(self) -> dict[TopicPartition, int]:
        """The offset of the oldest record of each partition."""
        return {partition: records[0].offset for partition, records in self._partitions.items()}

    def first_times_ms(self) -> dict[TopicPartition, int]:
        """The time of the oldest record of each partition."""
        return {partition: records[0].timestamp_ms for partition, records in self._partitions.items()}

    def last_records(self) -> Iterator[tuple[TopicPartition, SinkRecord]]:
        """The newest record of each partition."""
        return ((partition, records[-1]) for partition, records in self._partitions.items())
