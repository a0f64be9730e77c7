"""The processor `nodes`: tells which nodes are lost, from heartbeats and lifecycle events.

Only the worker that holds the partition of heartbeats judges; it never judges while it cannot hear, or not be heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from infra.lifecycle import wall_clock_ms
from schemas.errors import MalformedError
from schemas.records import Record, decode_record
from schemas.topics import HEARTBEATS, LIFECYCLE
from streams.clocks import Clocks
from streams.delivery import Delivery
from streams.outgoing import lifecycle_event
from streams.watch import Watch, Witness

log = structlog.get_logger(__name__)

GROUP = "nodes"
PROBE_S = 1.0
PROBE_TIMEOUT_S = 2.0
STALL_S = 3.0
GRACE_S = 10.0
"""So much longer once heartbeats come again: others may send later again than we what a dead broker had of them."""

_POLL_MS = 250


class NodeWatcher(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """Watches all nodes while it is the one that holds the heartbeats.

    `heartbeats` is a consumer in the group; `make_reader` makes one outside any group, for the lifecycle topic.
    """

    def __init__(
        self,
        heartbeats: Any,
        make_reader: Callable[[], Any],
        delivery: Delivery,
        *,
        reporter: str,
        prefix: str = "",
        clock: Callable[[], float] = time.monotonic,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._heartbeats = heartbeats
        self._make_reader = make_reader
        self._delivery = delivery
        self._reporter = reporter
        self._beats_at = TopicPartition(prefix + HEARTBEATS.name, 0)
        self._facts_at = TopicPartition(prefix + LIFECYCLE.name, 0)
        self._clock = clock
        self._clock_ms = clock_ms
        self._held = asyncio.Event()
        self.watch = Watch()
        self._witness = Witness(reporter, clock())
        self.clocks = Clocks()

    @property
    def watching(self) -> bool:
        """Whether this worker is the one that judges."""
        return self._held.is_set()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's signature
        """Somebody else may judge from now on."""
        self._held.clear()
        self.clocks.clear()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Judge from now on, if the heartbeats are ours."""
        if self._beats_at in assigned:
            self._held.set()

    async def run(self) -> None:
        """Watch until cancelled, whenever it is our turn."""
        self._heartbeats.subscribe([self._beats_at.topic], listener=self)
        while True:
            if not self.watching:
                await self._heartbeats.getmany(timeout_ms=_POLL_MS)
                continue
            try:
                await self._watch()
            except KafkaError as error:
                log.warning("nodes_not_watched", error=type(error).__name__)
                await asyncio.sleep(PROBE_S)

    async def _watch(self) -> None:
        """One turn: from all facts there are, until the partition goes to somebody else."""
        facts = self._make_reader()
        await facts.start()
        try:
            facts.assign([self._facts_at])
            facts.seek(self._facts_at, 0)
            self._heartbeats.seek(self._beats_at, (await facts.end_offsets([self._beats_at]))[self._beats_at])
            self.watch = Watch()
            while self.watching and not await self._caught_up(facts):
                await self._take_facts(facts)
            self._witness = Witness(self._reporter, self._clock())
            self.watch.excuse(self._clock())
            log.info("nodes_watched", nodes=len(self.watch.nodes))
            await self._judge_while_held(facts)
        finally:
            await facts.stop()

    async def _judge_while_held(self, facts: Any) -> None:
        probed = looked = self._clock()
        deaf = False
        while self.watching:
            await self._take_facts(facts)
            await self._take_beats()
            now = self._clock()
            if now - looked > STALL_S:  # we were away: what was sent meanwhile is still to be heard
                deaf = True
            looked = now
            if now - probed < PROBE_S:
                continue
            probed = now
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    caught_up = await self._caught_up(facts)
            except (KafkaError, TimeoutError):
                deaf = True
                continue
            if not caught_up:
                continue
            if self._witness.silent(self._clock()):
                deaf = True
                continue
            if deaf:
                deaf = False
                self.watch.excuse(self._clock(), GRACE_S)
                continue
            for event in self.watch.overdue(self._clock(), self._clock_ms()):
                await self._tell(event)

    async def _caught_up(self, facts: Any) -> bool:
        """Whether all that Kafka has was heard; raises or hangs when Kafka is away."""
        ends = await facts.end_offsets([self._facts_at, self._beats_at])
        if not self.watching:
            return False
        heard = await self._heartbeats.position(self._beats_at) >= ends[self._beats_at]
        learnt = await facts.position(self._facts_at) >= ends[self._facts_at]
        return bool(heard and learnt)

    async def _take_facts(self, facts: Any) -> None:
        for records in (await facts.getmany(self._facts_at, timeout_ms=_POLL_MS)).values():
            for record in records:
                event = _decoded(record.value, "lifecycle_event")
                if event is not None:
                    self.watch.learn(event, self._clock())

    async def _take_beats(self) -> None:
        for records in (await self._heartbeats.getmany(timeout_ms=_POLL_MS)).values():
            for record in records:
                beat = _decoded(record.value, "heartbeat")
                if beat is None:
                    continue
                self.clocks.hear(beat["id"], beat["time_ms"], self._clock_ms())
                self._witness.hear(beat, self._clock())
                event = self.watch.hear(beat, self._clock())
                if event is not None:
                    await self._tell(event)

    async def _tell(self, event: Record) -> None:
        event = {**event, "reporter": self._reporter}
        await self._delivery.deliver([lifecycle_event(event)])
        self.watch.learn(event, self._clock())
        log.warning(
            "node_judged", judged=event["id"], event_name=event["event"], judged_incarnation=event["incarnation"]
        )


def _decoded(value: bytes | None, subject: str) -> Record | None:
    """The record, or nothing for what is none: a stranger's bytes must not stop the watch."""
    try:
        return decode_record(value or b"", subject)
    except MalformedError as error:
        log.warning("record_ignored", subject=subject, reason=error.reason)
        return None
