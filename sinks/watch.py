"""What the watchdog sees of a sink: records that wait though the store answers, and partitions that nobody holds.

Only looks; never moves an offset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.holding import read_holding
from infra.kafka import admin
from infra.settings import Settings
from infra.watchdog import Holding, Standing, keep_held, keep_watch
from schemas.errors import UnavailableError
from sinks.loop import Loop


class LoopReading:
    """A sink's loop: the first record of each partition that is not committed, against the broker's ends."""

    def __init__(self, name: str, loop: Loop, reader: AIOKafkaConsumer) -> None:
        self.name = name
        self._loop = loop
        self._reader = reader

    @property
    def waiting(self) -> bool:
        """As `Watched` says."""
        return bool(self._loop.waits_for)

    async def standings(self) -> Mapping[TopicPartition, Standing]:
        """As `Watched` says."""
        places = list(self._reader.assignment())
        if not places:
            return {}
        ends = await self._reader.end_offsets(places)
        oldest = await self._reader.beginning_offsets(places)
        held = self._loop.held
        standings: dict[TopicPartition, Standing] = {}
        for at in places:
            offset = held[at] if at in held else await self._reader.position(at)
            empty = ends[at] <= oldest[at] and at not in held
            standings[at] = Standing(ends[at] if empty else offset, ends[at], busy=self._loop.writing)
        return standings


async def watch_sink(settings: Settings, group: str, loop: Loop, reader: AIOKafkaConsumer) -> None:
    """Watch until cancelled; raises `LocalError`, which ends the process."""
    await loop.opened.wait()
    topics = [settings.kafka.topic_prefix + topic for topic in loop.topics]
    name = settings.kafka.topic_prefix + group
    async with AsyncExitStack() as stack:
        client = admin(settings)
        stack.push_async_callback(client.close)
        started = False

        async def read() -> Holding[TopicPartition]:
            nonlocal started
            if not started:
                await _start(client)
                started = True
            return await read_holding(client, name, topics, reader.assignment())

        async with asyncio.TaskGroup() as watches:
            watches.create_task(keep_watch(LoopReading(group, loop, reader)))
            watches.create_task(keep_held(group, read))


async def _start(client: Any) -> None:
    try:
        await client.start()
    except KafkaError as error:
        raise UnavailableError("Kafka does not answer") from error
