"""The API of operations over topics, a database and a data directory of a test's own.

Never reads or writes the topics of the stack that lends Kafka.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from gateway.api.access import Role
from gateway.ops import sampler
from gateway.ops.letters import DeadLetters
from gateway.ops.sampler import Sampler
from infra.kafka import admin, ensure_topics, producer, topic_name
from infra.replays.runner import Replays
from infra.settings import Settings, postgresql_dsn
from infra.stack.wishes import write_states
from schemas.records import encode_record
from schemas.topics import DEAD_LETTERS
from tests.api.ground import Ground, open_ground

STATE = ("ready", "", "0.1.0", "127.0.0.1:1", 0, 1_700_000_000_000)


@asynccontextmanager
async def open_operations(backing: Settings, root: Path, role: Role = Role.OPERATOR) -> AsyncIterator[Ground]:
    """The ground, with a topic prefix."""
    async with open_ground(backing, root, role) as ground:
        kafka = ground.settings.kafka.model_copy(update={"topic_prefix": f"t{uuid4().hex[:8]}.", "partitions": 2})
        settings = ground.settings.model_copy(update={"kafka": kafka, "elasticsearch": backing.elasticsearch})
        place = ground.settings.data.config
        told = f'[kafka]\ntopic_prefix = "{kafka.topic_prefix}"\npartitions = {kafka.partitions}\n'
        place.write_text(place.read_text().replace("[kafka]\n", told))  # for processes of the test's own
        made = await ensure_topics(settings)
        services = ground.services
        services.settings = ground.settings = settings
        sampler.FIRST_S = 60.0  # machines that run tests are busy
        services.letters, services.overview, services.replays = (
            DeadLetters(services),
            Sampler(services),
            Replays(settings, services.database),
        )
        try:
            yield ground
        finally:
            await services.overview.close()
            await services.letters.close()
            client = admin(settings)
            await client.start()
            await client.delete_topics(made)
            await client.close()


async def add_states(ground: Ground, *components: str, node: str = "node-1") -> None:
    """A supervisor tells of its components."""
    connection = await asyncpg.connect(ground.dsn)
    await write_states(connection, node, dict.fromkeys(components, STATE))
    await connection.close()


async def execute(ground: Ground, statement: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of a statement on the test's database."""
    connection = await asyncpg.connect(postgresql_dsn(ground.settings))
    try:
        return [dict(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def publish_letter(ground: Ground, **values: Any) -> str:
    """A dead letter; its id."""
    letter = {
        "topic": "envelopes.email",
        "partition": 0,
        "offset": 0,
        "key": str(uuid4()).encode(),
        "value": b"what was said",
        "headers": {},
        "time_ms": 1_700_000_000_000,
        "stage": "mine",
        "reason": "malformed",
        "detail": "shorter than a header",
        **values,
    }
    sending = producer(ground.settings)
    await sending.start()
    topic = topic_name(ground.settings, DEAD_LETTERS.name)
    await sending.send_and_wait(topic, encode_record("dead_letter", letter), key=letter["topic"].encode())
    await sending.stop()
    return f"{letter['topic']}-{letter['partition']}-{letter['offset']}"
