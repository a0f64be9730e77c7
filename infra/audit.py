"""The audit topic: who did what to what, and why.

Never returns before the entry is with all in-sync replicas: what cannot be written down is not done.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from aiokafka.errors import KafkaError

from infra.kafka import producer, topic_name
from infra.lifecycle import wall_clock_ms
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.records import encode_record
from schemas.topics import AUDIT

Write = Callable[..., Awaitable[None]]


def this_person() -> str:
    """Who runs this command, such as ``ann@node-1``; who became root by `sudo` stays who it was."""
    person = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return f"{person or getpass.getuser()}@{socket.gethostname()}"


@contextmanager
def _kafka_errors(settings: Settings) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka at {settings.kafka.bootstrap} does not answer: {type(error).__name__}"
        ) from error


@asynccontextmanager
async def audit_trail(settings: Settings) -> AsyncIterator[Write]:
    """A function that writes audit entries; raises `UnavailableError` at once when Kafka is away."""
    sending = producer(settings)

    async def write(
        action: str,
        target: str,
        *,
        actor: str = "",
        outcome: str = "done",
        purpose: str = "",
        detail: Mapping[str, str] | None = None,
    ) -> None:
        actor = actor or this_person()
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
        with _kafka_errors(settings):
            await sending.send_and_wait(topic_name(settings, AUDIT.name), value, key=actor.encode())

    try:
        with _kafka_errors(settings):
            await sending.start()
            yield write
    finally:
        await sending.stop()
