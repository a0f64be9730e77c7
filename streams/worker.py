"""One worker process: the Faust application under Faust's own worker, on uvloop.

Never restarts anything within itself: what must not happen ends the process, and the supervisor starts another.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import NoReturn

import faust
import structlog
import uvloop
from aiokafka.errors import KafkaConnectionError, KafkaError

from infra.kafka import admin
from infra.logging import configure_logging
from infra.settings import Settings
from schemas.errors import UnavailableError
from streams.app import create_app
from streams.standby import begin_anew, is_drained, stand_by

log = structlog.get_logger(__name__)

KAFKA_AWAY = 3
"""Exit code of a worker that found no Kafka; its supervisor starts another."""


async def require_kafka(settings: Settings) -> None:
    """Return when Kafka answers; raises `UnavailableError` when it does not."""
    client = admin(settings)
    try:
        await client.start()
    except KafkaError as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not answer") from error
    finally:
        await client.close()


class _Worker(faust.Worker):  # type: ignore[misc]  # faust is not typed
    """Faust's worker, which would tell a Kafka that goes away while it starts as a traceback or two."""

    number = 1

    async def start(self) -> None:
        try:
            await super().start()
        except (UnavailableError, KafkaConnectionError) as error:
            _end_without_kafka(self.number, error)


def _end_without_kafka(number: int, error: Exception) -> NoReturn:
    log.error("worker_not_started", worker=number, reason=str(error), exit_code=KAFKA_AWAY)
    sys.exit(KAFKA_AWAY)


def run_worker(settings: Settings, number: int = 1) -> NoReturn:
    """Run until a signal (exit code 0), a start without Kafka (`KAFKA_AWAY`) or a crash (another)."""
    configure_logging(f"streams-{number}", node=settings.node.id)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(require_kafka(settings))
    except UnavailableError as error:  # found out before Faust starts, which takes its time
        _end_without_kafka(number, error)
    name = f"streams-{number}"
    if is_drained(settings, name) and not loop.run_until_complete(stand_by(settings, name)):
        sys.exit(0)
    app = create_app(settings, number)
    worker = _Worker(
        app,
        loop=loop,
        loglevel=logging.WARNING,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
    )
    worker.number = number
    worker.spinner = None  # it would write control characters into the log
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if app.assembly.drained and not end.code:
            begin_anew()
        raise
    raise AssertionError("Faust's worker ends the process")
