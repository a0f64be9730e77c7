"""Alerts on a real broker: one worker judges, another takes over, and what a rule found comes into the table once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from infra.kafka import consumer, ensure_topics
from infra.settings import Settings
from streams.alerts import TOPICS
from streams.sole import SoleAssignor

pytestmark = pytest.mark.live


class Member(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """A member of the group, that only notes what it holds."""

    def __init__(self, settings: Settings) -> None:
        self.held: set[TopicPartition] = set()
        self.client: AIOKafkaConsumer = consumer(
            settings, "alerts", session_timeout_ms=6_000, partition_assignment_strategy=(SoleAssignor,)
        )
        self.topics = [settings.kafka.topic_prefix + topic for topic in TOPICS]

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.held -= set(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.held = set(assigned)

    async def start(self) -> None:
        await self.client.start()
        self.client.subscribe(self.topics, listener=self)

    async def poll(self) -> None:
        await self.client.getmany(timeout_ms=100)


async def settle(*members: Member, want: int) -> list[int]:
    """How many partitions each holds, once they hold so many together."""
    async with asyncio.timeout(180):
        while True:
            await asyncio.gather(*(member.poll() for member in members))
            held: Any = [len(member.held) for member in members]
            if sum(held) == want and (want == 0 or max(held) == want):
                return list(held)


async def test_one_member_holds_all_and_the_other_takes_over(backing: Settings) -> None:
    """Every partition of both topics is one member's; when it leaves, the other one's."""
    prefix = f"test-{uuid4().hex[:8]}-"
    kafka = backing.kafka.model_copy(update={"topic_prefix": prefix, "partitions": 3})
    settings = backing.model_copy(update={"kafka": kafka})
    await ensure_topics(settings)
    members = [Member(settings), Member(settings)]
    for member in members:
        await member.start()
    held = await settle(*members, want=2 * 3)
    assert sorted(held) == [0, 6]
    first = members.pop(held.index(6))
    await first.client.stop()
    assert await settle(*members, want=6) == [6]
    await members[0].client.stop()
