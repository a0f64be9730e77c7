"""Dead letters: how they are kept, and how an operator sees them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from schemas.errors import UnavailableError
from schemas.records import Record, decode_record
from schemas.topics import MAX_ENVELOPE_BYTES
from sinks.dead_letters import KafkaDeadLetters
from sinks.letters import DROP, RETRY, Letters
from sinks.sink import Reject, SinkRecord


class Producer:
    """A producer in memory, whose deliveries may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.sent: list[Record] = []
        self._fails = fails

    async def send(self, topic: str, value: bytes, key: bytes) -> Any:
        self.sent.append({"topic": topic, "key": key, **decode_record(value, "dead_letter")} | {"on": topic})
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._fails:
            delivery.set_exception(KafkaTimeoutError())
        else:
            delivery.set_result(None)
        return delivery


def reject(value: bytes = b"v") -> Reject:
    return Reject(SinkRecord("documents", 3, 9, 0, b"k", value, (("user", b"ann"),)), "malformed", "d" * 5000)


async def test_reject_is_kept_with_its_whole_record() -> None:
    """Topic, partition, offset, key, value, headers, stage and reason are there; the detail is bounded."""
    producer = Producer()
    await KafkaDeadLetters(producer, "x-dead-letters", lambda: 7).put([reject()], "sink-disk")
    [letter] = producer.sent
    assert letter["on"] == "x-dead-letters"
    expected = {"topic": "documents", "partition": 3, "offset": 9, "value": b"v", "stage": "sink-disk", "time_ms": 7}
    assert expected.items() <= letter.items()
    assert letter["headers"] == {"user": b"ann"}
    assert len(letter["detail"]) == 1000


async def test_value_that_does_not_fit_stays_where_it_is() -> None:
    """A dead letter is never too large for its own topic."""
    producer = Producer()
    await KafkaDeadLetters(producer, "t", lambda: 7).put([reject(bytes(MAX_ENVELOPE_BYTES + 1))], "sink-disk")
    assert producer.sent[0]["value"] == b""


async def test_letter_that_is_not_delivered_is_unavailable() -> None:
    """Only a delivery that Kafka confirmed counts."""
    with pytest.raises(UnavailableError):
        await KafkaDeadLetters(Producer(fails=True), "t", lambda: 7).put([reject()], "sink-disk")


def letter(offset: int, stage: str = "mine", time_ms: int = 1, value: bytes = b"v") -> Record:
    return {
        "time_ms": time_ms,
        "topic": "envelopes.screen",
        "partition": 0,
        "offset": offset,
        "key": b"k",
        "value": value,
        "headers": {},
        "stage": stage,
        "reason": "does_not_open",
        "detail": "",
    }


def entry(action: str, offset: int, time_ms: int, outcome: str = "done") -> Record:
    target = f"envelopes.screen-0-{offset}"
    return {"time_ms": time_ms, "actor": "ann", "action": action, "target": target, "outcome": outcome}


def test_letters_of_several_stages_are_one() -> None:
    """Whoever gave the same record up, it is listed once, with its value if any of them kept it."""
    letters = Letters()
    for record in (letter(1, "mine", value=b""), letter(1, "sink-disk"), letter(1, "mine", value=b"")):
        letters.add(record)
    [one] = letters.open()
    assert (one.id, one.stages, one.value) == ("envelopes.screen-0-1", ("mine", "sink-disk"), b"v")


def test_settled_letters_are_over_until_they_come_again() -> None:
    """Retried and dropped letters are not open; one that died again later is; other audit entries change nothing."""
    letters = Letters()
    for offset in range(4):
        letters.add(letter(offset, time_ms=10))
    letters.settle(entry(RETRY, 0, 20))
    letters.settle(entry(DROP, 1, 20))
    letters.settle(entry(DROP, 2, 20, outcome="refused"))
    letters.settle(entry("search", 3, 20))
    assert [one.offset for one in letters.open()] == [2, 3]
    assert letters.find("envelopes.screen-0-0").settled == "retried by ann"  # type: ignore[union-attr]
    assert letters.find("nothing-0-0") is None
    letters.add(letter(0, time_ms=30))
    assert [one.offset for one in letters.open()] == [2, 3, 0]
