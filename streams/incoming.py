"""A Kafka record on its way in, as processors see it: whichever client or archive it came from.

Never carries a deployment's topic prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.topics import HEADER_RETRY


class Partition(NamedTuple):
    """A partition of a topic, named without prefix."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """One record: where it stands and what it carries. `key` is the agent id as text."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def place(self) -> Partition:
        """The partition it stands in."""
        return Partition(self.topic, self.partition)

    @property
    def retried_for(self) -> list[str]:
        """The stages that had given it up, when it is a dead letter that somebody published again."""
        return self.headers.get(HEADER_RETRY, b"").decode("utf-8", "replace").split("+")

    @property
    def user(self) -> str:
        """Whose session it is, as the gateway noted it."""
        return self.headers.get("user", b"").decode("utf-8", "replace")

    @property
    def computer(self) -> str:
        """Name of the endpoint, as the gateway noted it."""
        return self.headers.get("computer", b"").decode("utf-8", "replace")


def incoming(record: Any, prefix: str = "") -> Incoming:
    """A client's consumer record (aiokafka's or the in-memory broker's) without the topic `prefix`."""
    return Incoming(
        topic=record.topic.removeprefix(prefix),
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value or b"",
        timestamp_ms=record.timestamp,
        headers=dict(record.headers),
    )
