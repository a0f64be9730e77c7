"""Real envelopes for the tests of sinks, sealed with a key that is made on the fly."""

from __future__ import annotations

from functools import cache
from uuid import UUID

from schemas.envelope import peek
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.seal import Epoch
from schemas.topics import ENVELOPE_CONTENT_TYPE, envelope_topic
from sinks.sink import SinkRecord

DAY_MS = 86_400_000
NOON_MS = 1_795_435_200_000
"""2026-11-23 12:00 UTC."""


@cache
def identity() -> Identity:
    return Identity.generate(2048)


def agent(number: int = 1) -> bytes:
    return UUID(int=number).bytes


def begin(number: int = 1, kind: StreamKind = StreamKind.KEYSTROKES, created_ms: int = NOON_MS) -> Epoch:
    return Epoch.begin(agent_id=agent(number), kind=kind, recipients=[identity().recipient], created_ms=created_ms)


def seal(epoch: Epoch, count: int, size: int = 100) -> list[bytes]:
    return [epoch.seal(bytes([n % 256]) * size, capture_ms=NOON_MS + 1000 * epoch.sequence) for n in range(count)]


def as_records(envelopes: list[bytes], *, offset: int = 0, partition: int = 0) -> list[SinkRecord]:
    records = []
    for number, envelope in enumerate(envelopes):
        seen = peek(envelope)
        records.append(
            SinkRecord(
                envelope_topic(seen.record.kind),
                partition,
                offset + number,
                NOON_MS + number,
                seen.id.agent.encode(),
                envelope,
                (("content-type", ENVELOPE_CONTENT_TYPE), ("user", "ann é".encode()), ("computer", b"pc-1")),
            )
        )
    return records
