"""Between Faust and a body: several records under way, acknowledged in the order of their offsets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from schemas.errors import LocalError
from streams.backoff import Backoff
from streams.body import Body
from streams.delivery import Delivery
from streams.incoming import Partition
from streams.intake import RECORDS, Intake
from tests.streams.rig import no_sleep, until
from tests.streams.test_share import Copier, HandProducer

PLACE = Partition("envelopes.email", 0)


@pytest.fixture
def producer():
    return HandProducer()


@pytest.fixture
def acked():
    return []


@pytest.fixture
def intake(producer):
    return Intake(Body(Copier(), Delivery(producer, backoff=Backoff(sleep=no_sleep))), "p.")


def event(acked: list[int], offset: int, key: bytes = b"a") -> SimpleNamespace:
    message = SimpleNamespace(
        topic="p.envelopes.email",
        partition=0,
        offset=offset,
        key=key,
        value=b"%d" % offset,
        timestamp=1.0,
        headers=None,
    )
    return SimpleNamespace(message=message, ack=lambda: acked.append(offset))


async def test_records_are_acknowledged_in_order(intake, producer, acked):
    """One key's results land before the other's: nothing is acknowledged past a record that is under way."""
    for offset in range(8):
        await intake.take(event(acked, offset, b"ab"[offset % 2 :][:1]))
    await until(lambda: len(producer.sent) >= 2)
    odd = next(future for value, future in producer.sent if value == b"1")
    odd.set_result(None)
    await until(lambda: any(value == b"3" for value, _ in producer.sent))
    assert acked == []
    producer.land()
    await until(lambda: producer.land() or len(acked) == 8)
    assert acked == list(range(8))


async def test_no_more_than_a_bound_is_under_way(intake, producer, acked):
    """Then it waits for results to land."""
    for offset in range(RECORDS - 1):
        await intake.take(event(acked, offset))
    taking = asyncio.create_task(intake.take(event(acked, RECORDS - 1)))
    await asyncio.sleep(0)
    assert not taking.done()
    await until(lambda: producer.land() or taking.done())
    await intake.finish()


async def test_a_partition_that_comes_back_begins_where_it_was_committed(intake, producer, acked):
    """Records that are read again are settled again."""
    for offset in (5, 6, 5, 6):
        await intake.take(event(acked, offset))
    await until(lambda: producer.land() or len(acked) == 4)
    assert sorted(acked) == [5, 5, 6, 6]


async def test_a_failure_is_told(intake, producer, acked):
    """A delivery that can never succeed ends the worker, by the next record or by the watchdog's look."""
    producer.plan[b"0"] = ValueError("past use")
    await intake.take(event(acked, 0))
    await until(lambda: bool(producer.sent))
    assert not intake.busy(PLACE)
    producer.land()
    with pytest.raises(LocalError):
        await until(intake.check)
    with pytest.raises(LocalError):
        await intake.take(event(acked, 1))
    assert acked == []
