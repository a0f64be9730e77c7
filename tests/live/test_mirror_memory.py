"""The mirror's memory against a real broker: it goes on where it was, and knows a topic that was made anew."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from gateway.lifecycle import LifecycleLog
from gateway.mirror import SNAPSHOT, LifecycleReader
from infra.kafka import admin, consumer, ensure_topics, producer, topic_name
from infra.settings import KafkaSettings, NodeSettings, Settings
from infra.topic_ids import read_topic_ids
from schemas.errors import UnavailableError
from schemas.topics import LIFECYCLE, TOPICS
from tests.gateway.test_mirror import fact

pytestmark = pytest.mark.live


@pytest.fixture
async def place(backing: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Topics of their own, and an empty data directory."""
    kafka = KafkaSettings(**{**backing.kafka.model_dump(), "topic_prefix": f"t{uuid4().hex[:8]}."})
    settings = Settings(node=NodeSettings(data_dir=tmp_path), kafka=kafka)
    await ensure_topics(settings)
    yield settings
    await remove_topics(settings, list(TOPICS))


async def remove_topics(settings: Settings, names: list[str]) -> None:
    client = admin(settings)
    await client.start()
    await client.delete_topics([topic_name(settings, name) for name in names])
    await client.close()


async def make_anew(settings: Settings) -> None:
    """Delete the topic and make it again; return when brokers have let go of the old one."""
    before = (await read_topic_ids(settings, [LIFECYCLE.name]))[LIFECYCLE.name]
    await remove_topics(settings, [LIFECYCLE.name])
    end, reader = -1, consumer(settings, None)
    await reader.start()
    async with asyncio.timeout(180):
        while end:
            await asyncio.sleep(0.5)
            await ensure_topics(settings)
            with contextlib.suppress(UnavailableError, KafkaError):
                if (await read_topic_ids(settings, [LIFECYCLE.name]))[LIFECYCLE.name] != before:
                    at = TopicPartition(topic_name(settings, LIFECYCLE.name), 0)
                    end = (await reader.end_offsets([at]))[at]
    await reader.stop()


async def tell(settings: Settings, *facts: bytes) -> None:
    """Put them into the lifecycle topic."""
    client = producer(settings)
    await client.start()
    for value in facts:
        await client.send_and_wait(topic_name(settings, LIFECYCLE.name), value)
    await client.stop()


@asynccontextmanager
async def reading(settings: Settings, seen: Callable[[LifecycleLog], bool]) -> AsyncIterator[LifecycleLog]:
    """A process that follows the topic, once `seen` holds."""
    events = LifecycleLog(time.monotonic)
    task = asyncio.create_task(LifecycleReader(settings, events).follow())
    try:
        async with asyncio.timeout(180):
            while not seen(events):
                assert not task.done(), task.exception()
                await asyncio.sleep(0.05)
        yield events
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_mirror_goes_on_where_it_was(place: Settings) -> None:
    """Without Kafka it has what was known and its age; with it again, only what came since is read."""
    await tell(place, fact("joined"), fact("ready"))
    async with reading(place, lambda events: events.connected and events.next_offset == 2):
        pass
    assert (place.data.run / SNAPSHOT).exists()

    nowhere = place.model_copy(update={"kafka": place.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})})
    async with reading(nowhere, lambda events: bool(events.nodes)) as events:
        assert (events.connected, events.next_offset) == (False, 2)
        assert events.nodes["node-1/gateway"].state == "ready"
        age_s = events.age_s()
        assert age_s is not None
        assert age_s >= 0

    await tell(place, fact("draining"))
    async with reading(place, lambda events: events.connected) as events:
        assert events.nodes["node-1/gateway"].state == "draining"
        assert (events.generation, events.next_offset) == (0, 3)


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(place: Settings) -> None:
    """Also when it has as many records as the old one by now; of what the old one told nothing is left."""
    await tell(place, fact("joined", "old/gateway"))
    async with reading(place, lambda events: events.connected and events.next_offset == 1):
        pass
    await make_anew(place)
    await tell(place, fact("joined", "new/gateway"), fact("ready", "new/gateway"))
    async with reading(place, lambda events: events.connected and events.next_offset == 2) as events:
        assert list(events.nodes) == ["new/gateway"]
        assert events.generation == 1
