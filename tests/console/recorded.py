"""People whose activity and documents tests of pages can count on: put into the running stack, and taken out again.

Never touches what others recorded there.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg

from infra.kafka import producer, topic_name
from infra.settings import Settings, postgresql_dsn
from schemas.identity import EnvelopeId, document_id
from schemas.records import encode_record

Answer = TypeVar("Answer")
APPLICATIONS = (("Editor", 22), ("Mail", 11), ("Browser", 14), ("Terminal", 6))
"""Minutes of each in every hour of work."""


def run_apart(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run it in a thread: the browser's driver keeps this thread's event loop."""

    async def run() -> Answer:
        return await work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


@dataclass
class Recorded:
    """Two people of one team, of whom two weeks are known."""

    settings: Settings
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    agents: dict[str, UUID] = field(default_factory=dict)
    published: int = 0
    today: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    )

    @property
    def team(self) -> str:
        """Their team."""
        return f"team-{self.run}"

    @property
    def ann(self) -> str:
        """Who works late."""
        return f"ann-{self.run}"

    @property
    def bob(self) -> str:
        """Who does not."""
        return f"bob-{self.run}"

    def publish(self, person: str, text: str, application: str = "Editor", days_ago: float = 0.0) -> str:
        """Put a document into Kafka, as a miner does; its id."""
        self.published += 1
        agent, time_ms = self.agents[person], _now_ms() - int(days_ago * 86_400_000)
        epoch = bytes.fromhex(self.run).ljust(32, b"\0")
        record = {
            "document_id": document_id(EnvelopeId(agent.bytes, epoch, self.published)),
            "version": self.published,
            "agent_id": str(agent),
            "epoch_id": epoch.hex(),
            "sequence": self.published,
            "stream": "screen",
            "kind": "screen",
            "user": person,
            "computer": f"pc-{person}",
            "time_ms": time_ms,
            "until_ms": time_ms,
            "application": application,
            "title": f"{application} window",
            "text": text,
        }

        async def send() -> None:
            async with producer(self.settings) as client:
                topic = topic_name(self.settings, "documents")
                await client.send_and_wait(topic, encode_record("document", record), key=str(agent).encode())

        run_apart(send)
        return str(record["document_id"])

    async def fill(self) -> None:
        """Agents, team and two weeks of activity."""
        connection = await asyncpg.connect(postgresql_dsn(self.settings))
        await connection.execute("INSERT INTO team VALUES ($1)", self.team)
        for person in (self.ann, self.bob):
            self.agents[person] = uuid4()
            await connection.execute("INSERT INTO team_member VALUES ($1, $2)", self.team, person)
            await connection.execute(
                "INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at) "
                "VALUES ($1, $2, $3, now(), now())",
                *(self.agents[person], person, f"pc-{person}"),
            )
        await connection.copy_records_to_table(
            "activity_span", records=[row for person in self.agents for row in self._spans(person)]
        )
        await connection.close()

    @property
    def shown(self) -> list[datetime]:
        """Those of them that the last 14 days have, of which today is one: midnight may have passed."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return [day for day in self.days if today - day < timedelta(days=14)]

    @property
    def days(self) -> list[datetime]:
        """The days of work (midnight, UTC) of the last 13: nine of them, or ten when counted from a weekend."""
        ago = (self.today - timedelta(days=back) for back in range(1, 14))
        return [day for day in ago if day.isoweekday() <= 5]

    def _spans(self, person: str) -> Iterator[tuple[object, ...]]:
        hours = range(8, 20) if person == self.ann else range(9, 16)
        number = 0
        for day in self.days:
            for hour in (day + timedelta(hours=one) for one in hours):
                at = hour
                for ordinal, (application, minutes) in enumerate(APPLICATIONS):
                    until = at + timedelta(minutes=minutes)
                    active_ms = minutes * 60_000
                    yield (
                        *(self.agents[person], b"\1" * 32, number, ordinal, person, f"pc-{person}", application, hour),
                        *(active_ms, active_ms // 9, 3, [asyncpg.Range(at, until)]),
                    )
                    at = until
                number += 1

    async def empty(self) -> None:
        """Take it all out again."""
        connection = await asyncpg.connect(postgresql_dsn(self.settings))
        people = list(self.agents)
        await connection.execute("DELETE FROM activity_span WHERE user_name = ANY($1)", people)
        await connection.execute("DELETE FROM agent WHERE user_name = ANY($1)", people)
        await connection.execute("DELETE FROM alert WHERE person = ANY($1)", people)
        await connection.execute("DELETE FROM alert_rule WHERE name LIKE $1", f"%{self.run}%")
        await connection.execute("DELETE FROM team WHERE name = $1", self.team)
        await connection.close()


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


@contextmanager
def recorded_people(settings: Settings) -> Iterator[Recorded]:
    """Two people in the running stack, gone afterwards."""
    recorded = Recorded(settings)
    run_apart(recorded.fill)
    try:
        yield recorded
    finally:
        run_apart(recorded.empty)
