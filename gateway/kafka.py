"""The publisher on Kafka: librdkafka's idempotent producer with acks=all, polled by the event loop.

Never gives up on a record by itself: it is delivered, refused for good, or the producer as a whole has failed.
No poll thread: it costs a third more CPU, and its callbacks would have to cross back to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from gateway.publisher import Outcome
from infra.cluster import wanted_insync
from schemas.topics import MAX_RECORD_BYTES, TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.publisher import Headers, Settle

log = structlog.get_logger()

TICK_S = 0.001
"""How often delivery reports are fetched while records are outstanding. The price of an idle tick is 5 µs."""

IDLE_TICK_S = 0.5
"""How often while none are: only errors of the whole producer can come."""

CHECK_TIMEOUT_S = 3.0

_REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.RECORD_LIST_TOO_LARGE})


def producer_config(bootstrap: str, queue_bytes: int) -> dict[str, Any]:
    """Settings of librdkafka. `queue_bytes` must be more than the byte budget, which is what really bounds."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "sealstream-gateway",
        "acks": "all",
        "enable.idempotence": True,
        "message.timeout.ms": 0,  # for ever: an envelope that was taken is delivered, or its agent is told nothing
        "linger.ms": 0,
        # One request to a broker at a time: what comes meanwhile is gathered into the next, so that batches grow with
        # load and an idle Kafka answers at once. With more, librdkafka's thread spins while all are under way: half of
        # the gateway's CPU. It also keeps order whatever happens.
        "max.in.flight": 1,
        "partitioner": "murmur2_random",  # as Java's default: every client finds an agent's partition
        # What was sent to a broker that vanished without a word stays with it for so long, whoever leads by then: a
        # little longer than controllers need to choose another (9 to 11 s). Sent twice, it is still kept once.
        "socket.timeout.ms": 15_000,
        "request.timeout.ms": 14_000,
        "socket.connection.setup.timeout.ms": 5_000,
        "message.max.bytes": MAX_RECORD_BYTES,
        "queue.buffering.max.messages": 0,
        "queue.buffering.max.kbytes": min(2_147_483_647, queue_bytes // 1024),
        "compression.type": "none",  # sealed bytes do not compress
        "socket.nagle.disable": True,
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "retry.backoff.ms": 50,
        "retry.backoff.max.ms": 1_000,
    }


class KafkaPublisher:
    """Publishes to Kafka. Must be made on the running event loop that it shall be polled on."""

    def __init__(
        self, bootstrap: str, *, topic_prefix: str = "", queue_bytes: int = 1 << 30, min_insync: int = 0
    ) -> None:
        self._topics = {name: topic_prefix + name for name in TOPICS}
        self._min_insync = min_insync
        self._config = producer_config(bootstrap, queue_bytes)
        self._loop = asyncio.get_running_loop()
        self._producer = self._begin()
        self._fatal = False
        self._numbers = count()
        self._published: dict[int, float] = {}
        """What is not settled, oldest first: when it was published, loop time."""
        self._empty = asyncio.Event()
        self._empty.set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = True
        self._schedule()

    @property
    def outstanding(self) -> int:
        """Records that are published and not settled."""
        return len(self._published)

    @property
    def unacked_s(self) -> float:
        """For how many seconds the oldest of them has been so; 0 where there is none."""
        oldest = next(iter(self._published.values()), None)
        return 0.0 if oldest is None else self._loop.time() - oldest

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers, settle: Settle) -> None:
        """Begin to publish; librdkafka copies the value."""
        number = next(self._numbers)
        report = partial(self._report, number, settle)
        try:
            self._producer.produce(self._topics[topic], value, key, on_delivery=report, headers=headers)
        except (BufferError, KafkaException) as error:
            self._loop.call_soon(self._refuse_at_once, report, error)
        self._published[number] = self._loop.time()
        self._empty.clear()
        if self._idle:
            self._schedule()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is outstanding; whether that was so within the time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        return not self._published

    async def check(self) -> str:
        """Ask for the metadata of an envelope topic: what has a leader can be written."""
        topic = self._topics["envelopes.screen"]
        try:
            metadata = await asyncio.to_thread(self._producer.list_topics, topic, CHECK_TIMEOUT_S)
        except KafkaException as error:
            return f"kafka does not answer: {error.args[0].str()}"
        partitions = metadata.topics[topic].partitions.values()
        if not partitions:
            return f"kafka has no topic {topic}"
        short = sum(
            1
            for each in partitions
            if each.leader < 0 or len(each.isrs) < (self._min_insync or wanted_insync(len(each.replicas)))
        )
        return f"{short} partitions of {topic} have no leader or too few in-sync replicas" if short else ""

    async def close(self) -> None:
        """Purge what is outstanding, settle it as failed, and stop polling."""
        self._producer.purge()
        self._poll()
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _begin(self) -> Producer:
        return Producer({**self._config, "error_cb": self._error}, logger=logging.getLogger("librdkafka"))

    def _schedule(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._idle = not self._published
        self._timer = self._loop.call_later(IDLE_TICK_S if self._idle else TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self._poll()
            if self._fatal:
                self._replace()
        finally:  # a fault in settling one record is for the loop to report; all others wait for the next tick
            self._schedule()

    def _poll(self) -> None:
        self._producer.poll(0)

    def _report(self, number: int, settle: Settle, error: KafkaError | None, _message: object) -> None:
        del self._published[number]
        if not self._published:
            self._empty.set()
        if error is None:
            settle(Outcome.DELIVERED)
            return
        outcome = Outcome.REFUSED if error.code() in _REFUSED else Outcome.FAILED
        log.warning("record_not_delivered", outcome=outcome, error=error.name())
        settle(outcome)

    def _refuse_at_once(self, report: Callable[[KafkaError, None], None], error: Exception) -> None:
        """What librdkafka did not even queue; settled later like the rest, since a caller may not be ready yet."""
        reported = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
        report(reported or KafkaError(KafkaError._QUEUE_FULL), None)  # noqa: SLF001 - its public name

    def _error(self, error: KafkaError) -> None:
        self._fatal = self._fatal or error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - as above
        log.warning("kafka_error", error=error.name(), detail=error.str(), fatal=self._fatal)

    def _replace(self) -> None:
        """A fatal error (the broker forgot this producer): fail what is outstanding and begin anew."""
        log.error("producer_replaced", outstanding=self.outstanding)
        failed, self._producer = self._producer, self._begin()
        self._fatal = False
        failed.purge()
        failed.poll(0)
