"""A partition in hand: processing goes on while results are on their way, and nothing is lost, passed or swapped."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from streams.backoff import Backoff
from streams.body import Body
from streams.delivery import Delivery
from streams.incoming import Incoming
from streams.outgoing import Outgoing
from streams.processor import Stateless
from streams.share import Share
from tests.streams.rig import no_sleep, until


class Copier(Stateless):
    """Each record's value as one result; remembers what it was told to forget."""

    stage = "copy"

    def __init__(self) -> None:
        self.processed: list[int] = []
        self.forgotten: list[int] = []

    async def process(self, record: Incoming) -> list[Outgoing]:
        self.processed.append(record.offset)
        return [Outgoing("documents", record.key, record.value)] if record.value else []

    async def forget(self, record: Incoming) -> None:
        self.forgotten.append(record.offset)


class HandProducer:
    """Deliveries resolve when the test says so; `plan` fails them by their values, once."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, asyncio.Future]] = []
        self.landed: list[bytes] = []
        self.plan: dict[bytes, Exception] = {}
        self.refused: set[bytes] = set()

    async def send(self, topic, value=None, key=None, **_):
        if value in self.refused:
            raise MessageSizeTooLargeError
        self.sent.append((value, asyncio.get_running_loop().create_future()))
        return self.sent[-1][1]

    def land(self) -> None:
        for value, future in self.sent:
            if not future.done():
                error = self.plan.pop(value, None)
                if error is None:
                    self.landed.append(value)
                    future.set_result(None)
                else:
                    future.set_exception(error)


@pytest.fixture
def producer():
    return HandProducer()


@pytest.fixture
def processor():
    return Copier()


@pytest.fixture
def share(producer, processor):
    return Share(0, Body(processor, Delivery(producer, backoff=Backoff(sleep=no_sleep))), max_result_bytes=100)


def record(offset: int, value: bytes, key: bytes = b"agent") -> Incoming:
    return Incoming("envelopes.email", 0, offset, key, value, 0)


def take(share: Share, *values: bytes) -> None:
    for offset, value in enumerate(values, share.end):
        share.take(record(offset, value))


async def until_settled(share: Share, producer: HandProducer) -> None:
    def settled() -> bool:
        producer.land()
        return share.held_records == 0

    await until(settled)


async def test_processing_goes_on_while_results_are_on_their_way(share, producer, processor):
    """All records of one agent are processed while the first delivery is out; none of them is settled before it."""
    take(share, b"a", b"b", b"", b"c")
    await until(lambda: processor.processed == [0, 1, 2, 3])
    assert [value for value, _ in producer.sent] == [b"a"]
    assert (share.next_offset, share.held_records) == (0, 4)
    producer.land()
    await until(lambda: len(producer.sent) == 3)
    assert (share.next_offset, share.held_records) == (1, 3)
    await until_settled(share, producer)
    assert producer.landed == [b"a", b"b", b"c"]
    assert (share.next_offset, share.held_bytes) == (4, 0)


async def test_the_next_offset_never_passes_what_is_on_its_way(share, producer):
    """Another agent's settled records wait for the one before them."""
    share.take(record(0, b"slow", key=b"one"))
    await until(lambda: len(producer.sent) == 1)
    share.take(record(1, b"", key=b"two"))
    await until(lambda: share.held_records == 1)
    assert share.next_offset == 0
    await until_settled(share, producer)
    assert share.next_offset == 2


async def test_what_failed_is_sent_again_before_what_follows(share, producer, processor):
    """After a failure, the failed result and all after it are sent again in order; nothing is processed twice."""
    take(share, b"first", b"a", b"b", b"c")
    await until(lambda: len(processor.processed) == 4)
    producer.plan[b"a"] = KafkaTimeoutError()
    await until_settled(share, producer)
    assert producer.landed == [b"first", b"b", b"c", b"a", b"b", b"c"]
    assert processor.processed == [0, 1, 2, 3]
    assert processor.forgotten == []


async def test_one_result_that_no_broker_takes_costs_itself_alone(share, producer, processor):
    """It becomes a dead letter; what was to be delivered together with it is delivered."""
    take(share, b"first", b"a", b"large", b"c")
    await until(lambda: len(processor.processed) == 4)
    producer.refused.add(b"large")
    await until_settled(share, producer)
    [letter] = [value for value in producer.landed if value not in {b"first", b"a", b"c"}]
    assert b"result_too_large" in letter
    assert producer.landed[-3:] == [b"a", letter, b"c"]
    assert processor.forgotten == [2]


async def test_results_that_wait_for_a_broker_are_bounded(share, producer, processor):
    """Processing waits when so many bytes of results do; it goes on when they are delivered."""
    take(share, *[bytes(60) for _ in range(10)])
    await until(lambda: bool(producer.sent))
    for _ in range(20):
        await asyncio.sleep(0)
    assert processor.processed == [0, 1]
    await until_settled(share, producer)
    assert share.next_offset == 10


async def test_what_is_cut_off_is_forgotten(share, producer, processor):
    """Records that were processed and not delivered are forgotten, on their way or not; none is settled."""
    take(share, b"a", b"b", b"c")
    await until(lambda: len(processor.processed) == 3)
    await share.finish(0)
    assert sorted(processor.forgotten) == [0, 1, 2]
    assert (share.next_offset, share.failure) == (0, None)


async def test_what_can_be_finished_is_finished(share, producer):
    """A partition that goes may end what is under way, deliveries that begin meanwhile too."""
    take(share, b"a", b"b", b"c")
    finishing = asyncio.create_task(share.finish(5))
    await until_settled(share, producer)
    await finishing
    assert producer.landed == [b"a", b"b", b"c"]


async def test_a_producer_past_use_is_told(share, producer, processor):
    """What the worker must crash of is the share's failure; nothing that was under way is settled."""
    take(share, b"a", b"b")
    await until(lambda: len(processor.processed) == 2)
    producer.plan[b"a"] = RuntimeError("past use")
    producer.land()
    await until(lambda: share.failure is not None)
    await share.finish(0)
    assert sorted(processor.forgotten) == [0, 1]
    assert share.next_offset == 0
