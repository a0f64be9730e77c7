"""Faust's partitions whose log lost its end: begun again at the oldest record, loudly.

Never moves a partition whose committed offset lies within its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from streams.readings import faust_assignment

log = structlog.get_logger(__name__)

LOOK_S = 5.0


async def keep_within_log(app: Any, ends: Callable[[], Any]) -> None:
    """Look again and again. Left alone, Faust passes over what stands below the offset that it committed once."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            async with asyncio.timeout(2 * LOOK_S):
                await _rewind(app, ends())
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets_not_compared", error=type(error).__name__)


async def _rewind(app: Any, reader: Any) -> None:
    consumer = app.consumer
    committed = consumer._committed_offset  # noqa: SLF001 - Faust tells it nowhere else
    places = {at: committed[at] for at in faust_assignment(app) if committed.get(at)}
    if not places:
        return
    found = await reader.end_offsets(list(places))
    oldest = await reader.beginning_offsets(list(places))
    for at, offset in places.items():
        if offset > found[at] and committed.get(at) == offset:
            log.error(
                "log_lost_its_end", topic=at.topic, partition=at.partition, committed=offset, end=found[at],
                begins_at=oldest[at],
            )  # fmt: skip
            committed[at] = None
            await consumer.seek(at, oldest[at])
