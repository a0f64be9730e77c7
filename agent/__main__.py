"""`python -m agent run DIR` and `python -m agent record DIR [COMMAND …]`: the processes that stay while people work.

Never for people to type: `sealstream agent run|record` checks what they typed and becomes this, which weighs a third.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from agent.live import Sign

T = TypeVar("T")


def main(arguments: list[str]) -> int:
    """Run, and give the exit code; our own errors become one line."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # structlog would load it to draw what nobody sees
    from infra.cli.exits import exit_code
    from schemas.errors import SealstreamError

    command, directory, *rest = arguments
    try:
        if command == "record":
            from agent.session import record_session

            return _run(record_session(Path(directory), rest))
        _run(_record_endpoint(Path(directory)))
    except SealstreamError as error:
        print(f"sealstream: {error}", file=sys.stderr)  # noqa: T201  # said to whoever started us
        return exit_code(error)
    return 0


async def _record_endpoint(directory: Path) -> None:
    """Show the notice, and record until Ctrl-C or SIGTERM."""
    from agent.agent import Agent
    from agent.catalogue import make_sources
    from agent.clock import SystemClock
    from agent.installation import open_installation
    from infra.logging import configure_logging

    configure_logging("agent")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts = await open_installation(directory, SystemClock())
    sign = _make_sign(parts.settings.sources.display)
    agent = Agent(parts, make_sources(parts.settings.sources, directory), sign=sign)
    print(agent.notice(), flush=True)  # noqa: T201  # the person must be told
    await agent.run(until=stop.wait())


def _make_sign(display: str) -> Sign | None:
    """The sign on the screen, where there may be one."""
    if not (display or os.environ.get("DISPLAY")):
        return None
    from agent.sign import X11Sign

    return X11Sign(display)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed: a tenth of the memory of a connection."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
