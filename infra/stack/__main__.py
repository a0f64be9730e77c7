"""The supervisor as a process of its own: `sealstream up` starts it, SIGTERM stops it and all that it runs."""

from __future__ import annotations

import asyncio
import sys

from infra.cli.exits import exit_code
from infra.datadir import DataDir
from infra.logging import configure_logging
from infra.stack.local import Choice, run_stack
from infra.stack.state import StackState
from schemas.errors import SealstreamError


def _silent(_state: StackState) -> None:
    """Nobody watches; who wants to know reads the state's file."""


def main() -> int:
    """Run until told to stop."""
    configure_logging("stack", json=True)
    try:
        return asyncio.run(run_stack(DataDir.find(), Choice.parse(sys.argv[1:]), _silent, exit_code))
    except SealstreamError as error:
        print(f"sealstream: {error}", file=sys.stderr)  # noqa: T201  # goes to the log file
        return exit_code(error)


sys.exit(main())
