"""Which log a topic's records come from: a topic that was made anew begins at offset 0 again, and all in it is new.

Never takes a record for one of another log: where offsets go back, it asks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import structlog

from schemas.topics import ALERTS, AUDIT, LIFECYCLE
from sinks.postgresql.connection import Connection
from sinks.sink import SinkRecord

log = structlog.get_logger(__name__)

ReadTopicIds = Callable[[], Awaitable[Mapping[str, UUID]]]
"""The ids of the topics below, by name; raises `UnavailableError`."""

TOPICS = (LIFECYCLE.name, ALERTS.name, AUDIT.name)
"""Topics whose records have no identity but their place."""

UNKNOWN = UUID(int=0)


async def no_topic_ids() -> Mapping[str, UUID]:
    """For a broker whose topics live as long as the database, as in tests."""
    return {}


class Logs:
    """The log of each topic, as far as this process read it."""

    def __init__(self, read: ReadTopicIds = no_topic_ids) -> None:
        self._read = read
        self._ids: Mapping[str, UUID] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def id_of(self, topic: str) -> UUID:
        """The id of the log that the topic's records come from."""
        return self._ids.get(topic, UNKNOWN)

    async def learn(self, connection: Connection) -> None:
        """Ask which logs there are. What was folded before logs were told apart is taken to be of these."""
        ids = await self._read()
        for topic, number in ids.items():
            if self._ids.get(topic, number) != number:
                log.warning("topic_was_made_anew", topic=topic)
        self._ids = ids
        self._ends.clear()
        for topic, number in ids.items():
            await connection.execute(
                "UPDATE folded_offset SET topic_id = $1 WHERE topic = $2 AND topic_id = $3", number, topic, UNKNOWN
            )

    def goes_back(self, batch: Sequence[SinkRecord]) -> bool:
        """Whether a record begins a log, or stands before one that was seen: the topic may have been made anew."""
        return any(
            record.offset < self._ends.get((record.topic, record.partition), 1)
            for record in batch
            if record.topic in TOPICS
        )

    def note(self, batch: Sequence[SinkRecord]) -> None:
        """These were seen."""
        for record in batch:
            if record.topic in TOPICS:
                self._ends[record.topic, record.partition] = record.offset + 1
