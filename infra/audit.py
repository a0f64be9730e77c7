"""The audit topic: who did what to what, and why.

Never returns before the entry is with all in-sync replicas: what cannot be written down is not done.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from infra.kafka import producer, topic_name
from infra.lifecycle import wall_clock_ms
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.records import encode_record
from schemas.topics import AUDIT

Write = Callable[..., Awaitable[None]]


def this_person() -> str:
    """Who runs this command, such as ``ann@node-1``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@asynccontextmanager
async def audit_trail(settings: Settings) -> AsyncIterator[Write]:
    """A function that writes audit entries; raises `UnavailableError` at once when Kafka is away."""
    sending = producer(settings)

    async def write(
        action: str, target: str, *, outcome: str = "done", purpose: str = "", detail: Mapping[str, str] | None = None
    ) -> None:
        actor = this_person()
        entry = {
            "time_ms": wall_clock_ms(),
            "actor": actor,
            "action": action,
            "target": target,
            "purpose": purpose,
            "outcome": outcome,
            "detail": dict(detail or {}),
        }
        value = encode_record("audit_entry", entry)
        await sending.send_and_wait(topic_name(settings, AUDIT.name), value, key=actor.encode())

    try:
        await sending.start()
        yield write
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka at {settings.kafka.bootstrap} does not answer: {type(error).__name__}"
        ) from error
    finally:
        await sending.stop()
