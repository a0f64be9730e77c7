"""A process of ours tells of its own life: joined, ready, draining, left, and heartbeats between.

Never says of another process that it is lost: that is for who watches the heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import uuid4

import structlog
from aiokafka.errors import KafkaError

from infra.kafka import topic_name
from infra.logging import identify_process
from infra.settings import Settings
from schemas import topics
from schemas.lifecycle import NodeEvent
from schemas.records import encode_record

log = structlog.get_logger()

TELL_AGAIN_S = 1.0


class Producer(Protocol):
    """What the reporter needs of a producer; aiokafka's has it."""

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> Any:
        """Return when all in-sync replicas have the record."""


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


async def until_told(tell: Callable[[], Awaitable[None]]) -> None:
    """Tell it again and again until Kafka takes it: a node may start before any broker has our topics."""
    while True:
        try:
            await tell()
        except KafkaError as error:
            log.warning("not_reported", error=str(error))
            await asyncio.sleep(TELL_AGAIN_S)
        else:
            return


class Reporter:
    """Publishes the lifecycle events of one process; as a context it joins, beats, and leaves.

    `ready()` and `draining()` are the process's to say, when they are true. `detail` is told with joined and ready.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        producer: Producer,
        *,
        name: str = "",
        address: str = "",
        detail: Mapping[str, str] | None = None,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.node_id = f"{settings.node.id}/{name or role}"
        self.role = role
        self.address = address
        self.incarnation = uuid4().hex[:12]
        self._detail = dict(detail or {})
        self._producer = producer
        self._interval_s = settings.node.heartbeat_s
        self._lifecycle = topic_name(settings, topics.LIFECYCLE.name)
        self._heartbeats = topic_name(settings, topics.HEARTBEATS.name)
        self._clock_ms = clock_ms
        identify_process(node=settings.node.id, process=name or role, incarnation=self.incarnation)
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.joined()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.left(reason="" if error is None else type(error).__name__)

    async def joined(self) -> None:
        """The process has started and does not serve yet; heartbeats begin."""
        await self._tell(NodeEvent.JOINED)
        await self._beat()
        self._beating = asyncio.create_task(self._keep_beating(), name="heartbeats")

    async def ready(self) -> None:
        """The process serves."""
        await self._tell(NodeEvent.READY)

    async def draining(self, reason: str = "") -> None:
        """The process finishes what it has and takes nothing new."""
        await self._tell(NodeEvent.DRAINING, reason)

    async def left(self, reason: str = "") -> None:
        """The process ends of its own will; heartbeats end."""
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        await self._tell(NodeEvent.LEFT, reason)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._beat()
            except KafkaError as error:  # Kafka is away: the process lives on, and says so when it can
                log.warning("heartbeat_failed", error=str(error))

    async def _beat(self) -> None:
        beat = {
            "time_ms": self._clock_ms(),
            "id": self.node_id,
            "role": self.role,
            "incarnation": self.incarnation,
            "interval_ms": int(self._interval_s * 1000),
        }
        await self._publish(self._heartbeats, encode_record("heartbeat", beat))

    async def _tell(self, event: NodeEvent, reason: str = "") -> None:
        detail = self._detail if event in (NodeEvent.JOINED, NodeEvent.READY) else {}
        fact = {
            "time_ms": self._clock_ms(),
            "subject": "node",
            "id": self.node_id,
            "event": event.value,
            "role": self.role,
            "address": self.address,
            "incarnation": self.incarnation,
            "reporter": self.node_id,
            "detail": {**detail, **({"reason": reason} if reason else {})},
        }
        await self._publish(self._lifecycle, encode_record("lifecycle_event", fact))
        log.info("node_reported", event_name=event.value)

    async def _publish(self, topic: str, value: bytes) -> None:
        await self._producer.send_and_wait(topic, value=value, key=self.node_id.encode())
