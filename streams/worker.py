"""One worker process: the Faust application under Faust's own worker, on uvloop.

Never restarts anything within itself: what must not happen ends the process, and the supervisor starts another.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

import faust
import uvloop

from infra.logging import configure_logging
from infra.settings import Settings
from streams.app import create_app


def run_worker(settings: Settings, number: int = 1) -> NoReturn:
    """Run until a signal (exit code 0) or a crash (another)."""
    configure_logging(f"streams-{number}")
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(
        create_app(settings, number),
        loop=loop,
        loglevel=logging.WARNING,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
    )
    worker.spinner = None  # it would write control characters into the log
    worker.execute_from_commandline()
    raise AssertionError("Faust's worker ends the process")
