"""Reads a range of a topic without a group, and says in plain values what a record holds.

Never opens an envelope: it peeks at what is clear, so that anyone who may see the topic may see this.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra import kafka
from infra.settings import Settings
from schemas.envelope import peek
from schemas.errors import ConfigError, MalformedError, UnavailableError
from schemas.records import decode_record
from schemas.topics import ENVELOPES, TOPICS, Topic

_POLL_MS = 500
_WORD_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Extent:
    """What one partition holds: its first offset, and the one after its last."""

    topic: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What to read: from where in each partition, how many records at most, and whether to wait for more.

    `last` counts back from the end of each partition; without it and `offset` reading begins at the start.
    """

    last: int | None = None
    offset: int | None = None
    partition: int | None = None
    limit: int | None = None
    follow: bool = False


def find_topic(name: str) -> Topic:
    """The topic of that name; raises `ConfigError` that lists those there are."""
    if name not in TOPICS:
        raise ConfigError(f"no topic is called {name!r}; there are {', '.join(TOPICS)}")
    return TOPICS[name]


async def read_extents(settings: Settings) -> list[Extent]:
    """Every partition of our topics that exist. Raises `UnavailableError`."""
    reader = kafka.consumer(settings, None)
    try:
        await reader.start()
        places = await _places(settings, TOPICS)
        starts, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    except KafkaError as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not tell its topics: {error}") from error
    finally:
        await reader.stop()
    return [Extent(kafka.strip_prefix(settings, it.topic), it.partition, starts[it], ends[it]) for it in places]


async def read_records(settings: Settings, name: str, stretch: Stretch) -> AsyncIterator[Any]:
    """The records of a stretch, in the order of their times within what one fetch brings."""
    reader = kafka.consumer(settings, None, request_timeout_ms=10_000)
    try:
        await reader.start()
        places = [it for it in await _places(settings, [name]) if stretch.partition in (None, it.partition)]
        if not places:
            raise ConfigError(f"the topic {name} has no such partition, or does not exist: see `sealstream topics`")
        reader.assign(places)
        ends = await _seek(reader, places, stretch)
        async for record in _read(reader, ends, stretch):
            yield record
    except KafkaError as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not answer: {error}") from error
    finally:
        await reader.stop()


def describe_record(topic: Topic, record: Any) -> dict[str, Any]:
    """Where a record lies, and what it holds: Avro decoded, an envelope's clear part, or what is wrong with it."""
    where = {
        "topic": topic.name,
        "partition": record.partition,
        "offset": record.offset,
        "time_ms": record.timestamp,
        "key": (record.key or b"").decode("utf-8", "replace"),
    }
    if record.headers:
        where["headers"] = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    try:
        return {**where, **describe_value(topic, record.value or b"")}
    except MalformedError as error:
        return {**where, "malformed": str(error), "bytes": len(record.value or b"")}


def describe_value(topic: Topic, value: bytes) -> dict[str, Any]:
    """What a value of that topic holds; raises `MalformedError`."""
    if topic in ENVELOPES:
        return {"envelope": _describe_envelope(value)}
    return {"value": decode_record(value, _WORD_BREAK.sub("_", topic.record).lower())}


def _describe_envelope(envelope: bytes) -> Mapping[str, Any]:
    seen = peek(envelope)
    return {
        "id": str(seen.id),
        "stream": seen.record.kind.label,
        "sequence": seen.record.sequence,
        "capture_ms": seen.record.capture_ms,
        "epoch_created_ms": seen.epoch.created_ms,
        "end_to_end": seen.epoch.end_to_end,
        "recipients": [key_id.hex() for key_id in seen.epoch.key_ids],
        "final": seen.record.final,
        "more_parts": seen.record.more_parts,
        "bytes": len(envelope),
    }


async def _places(settings: Settings, names: Iterable[str]) -> list[TopicPartition]:
    """The partitions of those topics that there are."""
    client = kafka.admin(settings)
    try:
        await client.start()
        described = await client.describe_topics([kafka.topic_name(settings, name) for name in names])
    finally:
        await client.close()
    return [
        TopicPartition(topic["topic"], partition)
        for topic in described
        for partition in sorted(row["partition"] for row in topic["partitions"])
    ]


async def _seek(reader: AIOKafkaConsumer, places: list[TopicPartition], stretch: Stretch) -> dict[TopicPartition, int]:
    """Set where reading begins; return where the partitions end now."""
    starts, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    for place in places:
        begin = starts[place]
        if stretch.offset is not None:
            begin = max(begin, stretch.offset)
        elif stretch.last is not None:
            begin = max(begin, ends[place] - stretch.last)
        reader.seek(place, begin)
    return dict(ends)


async def _read(reader: AIOKafkaConsumer, ends: dict[TopicPartition, int], stretch: Stretch) -> AsyncIterator[Any]:
    left = stretch.limit
    at = {place: await reader.position(place) for place in ends}
    while stretch.follow or any(at[place] < end for place, end in ends.items()):
        batches = await reader.getmany(timeout_ms=_POLL_MS)
        for place, batch in batches.items():
            at[place] = batch[-1].offset + 1
        for record in sorted((it for batch in batches.values() for it in batch), key=lambda it: it.timestamp):
            place = TopicPartition(record.topic, record.partition)
            if not stretch.follow and record.offset >= ends[place]:
                continue
            yield record
            left = None if left is None else left - 1
            if left == 0:
                return
        await asyncio.sleep(0)
