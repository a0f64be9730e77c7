"""One contract for every publisher: in memory here, and on real Kafka in the live suite."""

from __future__ import annotations

import asyncio

import pytest

from gateway.kafka import KafkaPublisher, producer_config
from gateway.memory import MemoryPublisher
from gateway.publisher import Outcome, Publisher
from schemas.topics import MAX_RECORD_BYTES


class PublisherContract:
    """What both must do. Subclasses give `publisher`, and `stored` to look with."""

    async def stored(self, topic: str) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
        raise NotImplementedError

    async def test_it_stores_in_order_and_settles_once(self, publisher: Publisher) -> None:
        """Every record is settled once, as delivered, and stands in its topic in the order of the calls."""
        outcomes: list[tuple[int, Outcome]] = []
        for number in range(100):
            publisher.publish(
                "envelopes.gap", b"agent", b"%d" % number, [("h", b"%d" % number)],
                lambda outcome, number=number: outcomes.append((number, outcome)),
            )  # fmt: skip
        assert outcomes == []
        assert publisher.outstanding == 100
        assert await publisher.flush(30)
        assert (publisher.outstanding, publisher.unacked_s) == (0, 0.0)
        assert outcomes == [(number, Outcome.DELIVERED) for number in range(100)]
        rows = await self.stored("envelopes.gap")
        assert rows == [(b"agent", b"%d" % number, {"h": b"%d" % number}) for number in range(100)]

    async def test_a_record_too_large_is_refused(self, publisher: Publisher) -> None:
        """It is settled as refused, and what follows is delivered."""
        outcomes: list[Outcome] = []
        publisher.publish("envelopes.gap", b"agent", bytes(2 * MAX_RECORD_BYTES), [], outcomes.append)
        publisher.publish("envelopes.gap", b"agent", b"small", [], outcomes.append)
        assert await publisher.flush(30)
        assert sorted(outcomes) == [Outcome.DELIVERED, Outcome.REFUSED]

    async def test_it_can_be_checked(self, publisher: Publisher) -> None:
        """All is well, a moment after its topics were made."""
        async with asyncio.timeout(20):
            while await publisher.check():  # noqa: ASYNC110 - a broker tells nobody that it knows a new topic
                await asyncio.sleep(0.1)

    async def test_closing_settles_what_is_outstanding(self, publisher: Publisher) -> None:
        """Whoever waits for a record hears of it."""
        outcomes: list[Outcome] = []
        publisher.publish("envelopes.gap", b"agent", b"x", [], outcomes.append)
        await publisher.close()
        assert len(outcomes) == 1


class TestMemory(PublisherContract):
    """The sibling that tests use."""

    @pytest.fixture
    async def publisher(self) -> MemoryPublisher:
        self._made = MemoryPublisher()
        return self._made

    async def stored(self, topic: str) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
        return [(row.key, row.value, dict(row.headers)) for row in self._made.records if row.topic == topic]


async def test_without_kafka_nothing_is_settled_and_the_check_says_why() -> None:
    """A record waits for as long as Kafka is away; closing settles it as failed."""
    publisher = KafkaPublisher("127.0.0.1:1")
    outcomes: list[Outcome] = []
    publisher.publish("envelopes.gap", b"agent", b"x", [], outcomes.append)
    assert not await publisher.flush(0.3)
    assert "kafka does not answer" in await publisher.check()
    publisher.publish("envelopes.gap", b"agent", b"y", [], outcomes.append)
    assert publisher.unacked_s >= 0.3
    assert outcomes == []
    await publisher.close()
    assert outcomes == [Outcome.FAILED, Outcome.FAILED]


def test_the_producer_waits_for_all_replicas() -> None:
    """The settings that the promises stand on."""
    config = producer_config("b:1", 1 << 20)
    assert (config["acks"], config["enable.idempotence"], config["message.timeout.ms"]) == ("all", True, 0)
    assert config["partitioner"] == "murmur2_random"


async def test_a_fault_in_settling_one_record_leaves_no_other_unsettled() -> None:
    """The loop hears of the fault; reports of other records are fetched all the same."""
    faults: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context.get("exception")))
    publisher = KafkaPublisher("127.0.0.1:1")
    outcomes: list[Outcome] = []

    def fail(_outcome: Outcome) -> None:
        raise ZeroDivisionError

    publisher.publish("envelopes.gap", b"agent", b"1", [], fail)
    publisher.publish("envelopes.gap", b"agent", b"2", [], outcomes.append)
    publisher._producer.purge()
    assert await publisher.flush(5)
    assert outcomes == [Outcome.FAILED]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    await publisher.close()
