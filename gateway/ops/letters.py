"""Dead letters as the console sees them: their topic followed from its beginning, what became of them by the audit.

Never keeps what a dead record holds: where it stands is enough to fetch it when somebody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from gateway.api.errors import ApiError
from gateway.api.times import to_ms
from infra.kafka import consumer, producer, topic_name
from infra.reading import Stretch, read_records
from schemas.errors import MalformedError, UnavailableError
from schemas.records import decode_record
from schemas.topics import DEAD_LETTERS, HEADER_RETRY
from sinks.letters import DROP, RETRY, Letters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.api.access import Principal
    from gateway.api.services import Services
    from sinks.letters import Letter

log = structlog.get_logger(__name__)

RETRY_S = 2.0
FIRST_S = 10.0
_POLL_MS = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the topic of dead letters a letter's newest record stands, and how many bytes the dead record had."""

    offset: int
    size: int


class DeadLetters:
    """Begins to follow when somebody asks first; `close` it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._letters = Letters()
        self._places: dict[str, Place] = {}
        self._next_offset = 0
        self._caught_up = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def read(self) -> Letters:
        """All of them, with what became of each; raises `UnavailableError`."""
        await self._follow()
        await self._read_settlements()
        return self._letters

    async def count_open(self) -> int:
        """How many nobody has settled; raises `UnavailableError`."""
        return len((await self.read()).open())

    async def find(self, letter_id: str) -> Letter:
        """The letter of that id; raises `ApiError` 404."""
        letter = (await self.read()).find(letter_id)
        if letter is None:
            raise ApiError(404, "not_found", f"there is no dead letter {letter_id}")
        return letter

    def size_of(self, letter: Letter) -> int:
        """Bytes of its record, where its letter has them; 0 where they are in its topic alone."""
        return self._places[letter.id].size

    async def fetch(self, letter: Letter) -> bytes | None:
        """The record's value: from its letter, or from where it stood if Kafka still has it."""
        place = self._places[letter.id]
        value = b""
        if place.size:
            async for record in read_records(self._settings, DEAD_LETTERS.name, Stretch(offset=place.offset, limit=1)):
                value = decode_record(record.value, "dead_letter")["value"]
        if value:
            return bytes(value)
        stretch = Stretch(offset=letter.offset, partition=letter.partition, limit=1)
        async for record in read_records(self._settings, letter.topic, stretch):
            if record.offset == letter.offset:
                return bytes(record.value or b"")
        return None

    async def retry(self, principal: Principal, letters: Sequence[Letter], purpose: str) -> list[str]:
        """Publish their records again, each told before and after; the ids of those that Kafka has no longer."""
        gone: list[str] = []
        sending = producer(self._settings)
        try:
            await sending.start()
            for letter in letters:
                value = await self.fetch(letter)
                if value is None:
                    gone.append(letter.id)
                    continue
                await self._tell(principal, RETRY, letter, purpose, outcome="asked")
                headers = list({**letter.headers, HEADER_RETRY: "+".join(letter.stages).encode()}.items())
                topic = topic_name(self._settings, letter.topic)
                await sending.send_and_wait(topic, value, key=letter.key, headers=headers)
                await self._tell(principal, RETRY, letter, purpose)
                self._settle(principal, RETRY, letter)
        except KafkaError as error:
            raise UnavailableError(f"Kafka does not take the record: {type(error).__name__}") from error
        finally:
            await sending.stop()
        return gone

    async def discard(self, principal: Principal, letters: Sequence[Letter], purpose: str) -> None:
        """Give them up: they are no longer open. The audit keeps who did it, and why."""
        for letter in letters:
            await self._tell(principal, DROP, letter, purpose)
            self._settle(principal, DROP, letter)

    async def close(self) -> None:
        """Follow no more."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _tell(
        self, principal: Principal, action: str, letter: Letter, purpose: str, *, outcome: str = "done"
    ) -> None:
        await self._services.audit(
            principal, action, letter.id, purpose=purpose, outcome=outcome, reason=letter.reason, topic=letter.topic
        )

    def _settle(self, principal: Principal, action: str, letter: Letter) -> None:
        """Known here at once; the audit's own way takes a moment."""
        entry = {"action": action, "target": letter.id, "outcome": "done", "actor": principal.actor}
        self._letters.settle({**entry, "time_ms": letter.time_ms})

    async def _read_settlements(self) -> None:
        """What the audit says that became of them."""
        async with self._services.database() as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT ON (target) target, action, actor, happened_at FROM audit_entry "
                "WHERE action = ANY($1) AND outcome = 'done' ORDER BY target, happened_at DESC",
                [RETRY, DROP],
            )
        for row in rows:
            entry = {name: row[name] for name in ("action", "target", "actor")}
            self._letters.settle({**entry, "outcome": "done", "time_ms": to_ms(row["happened_at"])})

    async def _follow(self) -> None:
        """Return once the topic was read to its end."""
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._keep_following(), name="dead letters")
        try:
            await asyncio.wait_for(self._caught_up.wait(), FIRST_S)
        except TimeoutError:
            raise UnavailableError("Kafka does not tell the dead letters: see whether it answers") from None

    async def _keep_following(self) -> None:
        while True:
            try:
                await self._follow_once()
            except KafkaError as error:
                log.warning("dead_letters_unreadable", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _follow_once(self) -> None:
        place = TopicPartition(topic_name(self._settings, DEAD_LETTERS.name), 0)
        client = consumer(self._settings, None)
        client.assign([place])
        try:
            await client.start()
            client.seek(place, self._next_offset)
            while True:
                end = (await client.end_offsets([place]))[place]
                batch: dict[TopicPartition, list[Any]] = await client.getmany(place, timeout_ms=_POLL_MS)
                for record in batch.get(place, ()):
                    self._next_offset = record.offset + 1
                    with contextlib.suppress(MalformedError):
                        self._take(record.offset, decode_record(record.value, "dead_letter"))
                    await asyncio.sleep(0)
                if await client.position(place) >= end:
                    self._caught_up.set()
        finally:
            await client.stop()

    def _take(self, offset: int, letter: dict[str, Any]) -> None:
        letter_id = f"{letter['topic']}-{letter['partition']}-{letter['offset']}"
        before = self._places.get(letter_id)
        if letter["value"] or before is None:
            self._places[letter_id] = Place(offset, len(letter["value"]))
        self._letters.add({**letter, "value": b""})
