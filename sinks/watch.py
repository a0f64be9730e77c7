"""What the watchdog sees of a sink: records that wait though the store answers, and partitions that nobody holds.

Only looks; never moves an offset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.holding import read_holding
from infra.kafka import admin
from infra.lifecycle import wall_clock_ms
from infra.settings import Settings
from infra.watchdog import Holding, Standing, keep_held, keep_watch
from schemas.errors import UnavailableError
from sinks.loop import Loop
from sinks.meter import Meter, Waits

MEASURE_S = 5.0


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

    async def waits(self, now_ms: int) -> dict[TopicPartition, Waits]:
        """What is not committed of each partition that is ours; raises `KafkaError`."""
        since_ms = self._loop.held_since_ms
        return {
            at: Waits(max(0, it.end - it.next_offset), max(0, now_ms - since_ms.get(at, now_ms)) / 1000)
            for at, it in (await self.standings()).items()
        }


async def keep_measured(
    reading: LoopReading,
    loop: Loop,
    meter: Meter,
    prefix: str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Show what waits, again and again: also while a store that is away keeps anything from being committed."""
    while True:
        await sleep(MEASURE_S)
        try:
            async with asyncio.timeout(MEASURE_S):
                waits = await reading.waits(wall_clock_ms())
        except (KafkaError, TimeoutError):  # what is shown stays: nobody looks caught up because the broker is away
            continue
        meter.show({(at.topic.removeprefix(prefix), at.partition): one for at, one in waits.items()}, loop.held_bytes)


async def watch_sink(settings: Settings, group: str, loop: Loop, reader: AIOKafkaConsumer, meter: Meter) -> None:
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
            reading = LoopReading(group, loop, reader)
            watches.create_task(keep_watch(reading))
            watches.create_task(keep_measured(reading, loop, meter, settings.kafka.topic_prefix))
            watches.create_task(keep_held(group, read))


async def _start(client: Any) -> None:
    try:
        await client.start()
    except KafkaError as error:
        raise UnavailableError("Kafka does not answer") from error
