"""A sink's process: clients, health, metrics and lifecycle round a consumer loop, until a signal; drained by a wish.

Never decides what is stored: that is the loop's and the sink's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError

from infra.health import HealthServer
from infra.kafka import consumer, ensure_topics, producer, topic_name
from infra.lifecycle import Reporter, wall_clock_ms
from infra.metrics import Metrics
from infra.monitoring.serving import serving_of
from infra.nodes.load import ProcessLoad
from infra.tracing import tracing_of
from schemas.errors import ConfigError, UnavailableError
from schemas.topics import DEAD_LETTERS
from sinks.dead_letters import KafkaDeadLetters
from sinks.duty import Duty
from sinks.loop import Limits, Loop
from sinks.metrics import METRICS, PrometheusMeter
from sinks.tracing import trace_sink
from sinks.watch import watch_sink

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from infra.settings import Settings
    from sinks.sink import Sink

log = structlog.get_logger(__name__)

SINKS = ("disk", "postgresql", "elasticsearch")

LIMITS = {
    "disk": Limits(flush_bytes=8 * 1024 * 1024, flush_s=1.0),
    "postgresql": Limits(flush_bytes=8 * 1024 * 1024, flush_s=1.0),
    "elasticsearch": Limits(flush_bytes=8 * 1024 * 1024, flush_s=0.25),
}
"""Text should be found soon after it was on screen, hence the short time of Elasticsearch."""

METADATA_MS = 5000
_RETRY_S = 2.0
_END_S = 10.0


def calm_collector() -> None:
    """Collect garbage rarely: batches come and go by reference counts, and a collection walks through all of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def run_sink(settings: Settings, name: str) -> None:
    """Run one sink until SIGTERM or SIGINT; raises `ConfigError` for a name that no sink has."""
    calm_collector()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics(METRICS)
    meter, measure = PrometheusMeter(name, metrics), ProcessLoad()
    turn = Turn(settings, name, meter, metrics)
    if name == "disk":
        metrics.watch_disk("archive", settings.archive.dir)
    async with AsyncExitStack() as stack:
        sending = await _start_producer(settings, stop)
        if sending is None:
            return
        stack.push_async_callback(sending.stop)
        checks, serving = {"store": turn.store}, serving_of(settings)
        await stack.enter_async_context(HealthServer(settings.data, f"sink-{name}", checks, metrics, serving=serving))
        reporter = await stack.enter_async_context(Reporter(settings, f"sink-{name}", sending))
        duty = Duty(settings, reporter, lambda: {**measure(), "lag": float(sum(meter.lags.values()))})
        following = asyncio.create_task(duty.follow(), name="wishes")
        ending = asyncio.create_task(_pass_on(stop, duty), name="stop")
        try:
            if duty.drained:
                await reporter.draining(duty.why)
            while await duty.until_on():
                await turn.fill(sending, reporter, duty)
        finally:
            following.cancel()
            ending.cancel()


async def _pass_on(stop: asyncio.Event, duty: Duty) -> None:
    await stop.wait()
    duty.stop()


class Turn:
    """A sink's times in its consumer group, from one drain to the next; each has a client and a sink of its own."""

    def __init__(self, settings: Settings, name: str, meter: PrometheusMeter, metrics: Metrics) -> None:
        self._settings, self._name, self._meter, self._metrics = settings, name, meter, metrics
        self._loop: Loop | None = None

    async def store(self) -> str:
        """What it waits for, for the health check."""
        return self._loop.waits_for if self._loop else ""

    async def fill(self, sending: AIOKafkaProducer, reporter: Reporter, duty: Duty) -> None:
        """Fill until it is off duty: what was polled is stored and committed, and the group is left."""
        settings, name = self._settings, self._name
        # Topics that were made a moment ago may not be known everywhere: look again soon, not after minutes.
        reader = consumer(settings, f"sink-{name}", metadata_max_age_ms=METADATA_MS)
        try:
            try:
                await reader.start()
            except KafkaError as error:
                raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not answer: {error}") from error
            sink = build_sink(settings, name)
            loop = self._loop = Loop(
                reader,
                trace_sink(sink, tracing_of(settings, f"sink-{name}")),
                KafkaDeadLetters(sending, topic_name(settings, DEAD_LETTERS.name), wall_clock_ms),
                topic_prefix=settings.kafka.topic_prefix,
                limits=LIMITS[name],
                meter=self._meter,
                places=getattr(sink, "places", None),
            )
            watching = asyncio.create_task(watch_sink(settings, f"sink-{name}", loop, reader, self._meter))
            keeping = asyncio.create_task(keep_retention(settings, sink, self._metrics, loop.opened), name="retention")
            keeping.add_done_callback(_tell_end)
            try:
                await _fill(loop, duty, reporter, watching)
            finally:
                watching.cancel()
                keeping.cancel()
                await asyncio.wait({keeping}, timeout=_END_S)
                self._loop = None
                self._meter.show({}, 0)
        finally:
            await reader.stop()


async def keep_retention(settings: Settings, sink: Sink, metrics: Metrics, opened: asyncio.Event) -> None:
    """Erase daily what is too old, in the process that writes the archive; nothing in others."""
    from sinks.archive.sink import ArchiveSink

    if not isinstance(sink, ArchiveSink) or not settings.retention.is_set:
        return
    from sinks.retention.duty import RetentionDuty
    from sinks.retention.metrics import RetentionMeter

    await RetentionDuty(settings, sink.apart, RetentionMeter(metrics), settings.node.id).keep(opened)


def _tell_end(keeping: asyncio.Task[None]) -> None:
    """A mistake of ours ends retention alone, in plain sight: `RetentionLate` comes of it too."""
    if not keeping.cancelled() and (fault := keeping.exception()) is not None:
        log.error("retention_ended", reason=repr(fault))


async def _fill(loop: Loop, duty: Duty, reporter: Reporter, watching: asyncio.Task[None]) -> None:
    """Fill until it is off duty; raises what the loop or its watch raises."""
    filling = asyncio.create_task(loop.run(), name="sink")
    off = asyncio.create_task(duty.until_off(), name="off")
    opened = asyncio.create_task(loop.opened.wait(), name="opened")
    await asyncio.wait({filling, off, opened}, return_when=asyncio.FIRST_COMPLETED)
    opened.cancel()
    if loop.opened.is_set():
        await reporter.ready()
    await asyncio.wait({filling, off, watching}, return_when=asyncio.FIRST_COMPLETED)
    off.cancel()
    if watching.done():
        fault = _fault_of(watching)
        log.error("sink_stands_still", reason=str(fault))
        filling.cancel()
        await asyncio.wait({filling}, timeout=_END_S)
        if not filling.done():  # a thread or a driver that hangs would hang the orderly end too
            os._exit(1)
        raise fault
    if not filling.done():
        await reporter.draining(duty.why)
        loop.stop()
    await filling


def _fault_of(watching: asyncio.Task[None]) -> BaseException:
    """What a watch ended of: the first of a group's faults says it all."""
    fault = watching.exception()
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    assert fault is not None
    return fault


async def _start_producer(settings: Settings, stop: asyncio.Event) -> AIOKafkaProducer | None:
    """The producer, as soon as Kafka answers and has our topics; none when asked to stop before."""
    while not stop.is_set():
        sending = producer(settings)
        try:
            await ensure_topics(settings)
            await sending.start()
        except (UnavailableError, KafkaError) as error:
            log.warning("waiting_for_kafka", address=settings.kafka.bootstrap, reason=str(error))
            await sending.stop()
            try:
                await asyncio.wait_for(stop.wait(), _RETRY_S)
            except TimeoutError:
                continue
        else:
            return sending
    return None


def build_sink(settings: Settings, name: str) -> Sink:
    """The sink of that name with these settings; the module of its store is imported only here."""
    match name:
        case "disk":
            from infra.settings import postgresql_dsn
            from sinks.archive.index import Indexer
            from sinks.archive.sink import ArchiveSink

            return ArchiveSink(
                settings.archive.dir,
                file_bytes=settings.archive.file_bytes,
                fsync=settings.archive.fsync == "commit",
                follower=Indexer(postgresql_dsn(settings), settings.archive.dir),
            )
        case "postgresql":
            from infra.settings import postgresql_dsn
            from infra.topic_ids import read_topic_ids
            from sinks.postgresql.logs import TOPICS
            from sinks.postgresql.sink import PostgresqlSink

            return PostgresqlSink(postgresql_dsn(settings), lambda: read_topic_ids(settings, TOPICS))
        case "elasticsearch":
            from sinks.elasticsearch.client import connect
            from sinks.elasticsearch.sink import ElasticsearchSink

            chosen = settings.elasticsearch
            replicas = None if chosen.replicas < 0 else chosen.replicas
            return ElasticsearchSink(connect(chosen), chosen.index_prefix, replicas=replicas)
    raise ConfigError(f"no sink is called {name!r}; there are {', '.join(SINKS)}")
