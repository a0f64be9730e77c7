"""The watchdog on a real Kafka: what a group leaves to nobody, and a sink that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from infra.holding import read_holding
from infra.kafka import admin, consumer, ensure_topics, topic_name
from infra.settings import Settings
from infra.watchdog import Holding, UnheldDetector, keep_held
from schemas.errors import LocalError

# ruff: noqa: ASYNC110  # the test looks at a broker from outside

pytestmark = pytest.mark.live


@pytest.fixture
async def place(backing: Settings) -> AsyncIterator[Settings]:
    """Topics of this test's own."""
    kafka = backing.kafka.model_copy(update={"topic_prefix": f"t{uuid4().hex[:8]}.", "partitions": 3})
    settings = backing.model_copy(update={"kafka": kafka})
    made = await ensure_topics(settings)
    yield settings
    client = admin(settings)
    await client.start()
    await client.delete_topics(made)
    await client.close()


@pytest.fixture
async def client(place: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = admin(place)
    await client.start()
    yield client
    await client.close()


async def joined(reader: AIOKafkaConsumer) -> None:
    """Return when the group has shared itself out."""
    async with asyncio.timeout(180):
        while not reader.assignment():
            await asyncio.sleep(0.1)


async def test_partitions_of_a_topic_that_a_group_leaves_out_are_nobodys(
    place: Settings, client: AIOKafkaAdminClient
) -> None:
    """As after a leader's metadata lacked the topic: one member ends, and says what nobody holds."""
    names = ["envelopes.email", "envelopes.gap"]
    email, gap = ([TopicPartition(topic_name(place, name), n) for n in range(3)] for name in names)
    reader = consumer(place, "mine", names[0])
    await reader.start()
    await joined(reader)

    async def read() -> Holding[TopicPartition]:
        topics = [topic_name(place, name) for name in names]
        return await read_holding(client, topic_name(place, "mine"), topics, reader.assignment())

    holding = await read()
    assert set(holding.wanted) == {*email, *gap}
    assert set(holding.held) == set(holding.ours) == set(email)
    with pytest.raises(LocalError, match=r"nobody in the group mine holds .*envelopes\.gap/0"):
        async with asyncio.timeout(180):
            await keep_held("mine", read, detector=UnheldDetector(0.5), sleep=lambda _: asyncio.sleep(0.2))
    reader.subscribe([topic_name(place, name) for name in names])
    async with asyncio.timeout(180):
        while set((holding := await read()).held) != {*email, *gap}:
            await asyncio.sleep(0.2)
    assert UnheldDetector(0).look(holding, 1) == []
    await reader.stop()
