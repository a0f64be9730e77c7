"""A terminal session that is recorded: its events go to the agent that runs, or to one that runs for the session.

Never records what the policy does not allow, and never hangs a person's session up because an agent went away.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import structlog

from agent.agent import Agent
from agent.clock import Clock, SystemClock
from agent.guest import visit
from agent.identity import load_identity
from agent.installation import open_installation
from agent.policy import Policy
from agent.settings import load_settings
from agent.source import Source
from infra.logging import configure_logging
from schemas.errors import ConfigError, RemoteError, UnavailableError
from schemas.kinds import StreamKind
from schemas.records import Record

log = structlog.get_logger()

LOG = "session.log"

RETURN_S = 30.0
"""How long an agent that went away may take to come back, before one runs for the session alone."""

LOOK_S = 0.5


class NotAllowedError(RemoteError):
    """The policy does not record this."""


class Taker(Protocol):
    """Whoever takes the events."""

    @property
    def policy(self) -> Policy:
        """The policy as the taker knows it."""

    async def emit(self, event: Record) -> None:
        """Take one; raises `UnavailableError` when it cannot any more."""

    async def close(self) -> None:
        """The session is over: return when all is durable."""


class OwnAgent:
    """An agent in this process, for this session."""

    def __init__(self, agent: Agent, kind: StreamKind) -> None:
        self._agent = agent
        self._over = asyncio.Event()
        self._emit = agent.guests.admit(kind)
        self._running = asyncio.create_task(agent.run(until=self._over.wait()), name="own agent")

    @property
    def policy(self) -> Policy:
        """The policy as it is now."""
        return self._agent.recorder.policy

    async def emit(self, event: Record) -> None:
        """Record an event."""
        if self._running.done():
            self._running.result()
        await self._emit(event)

    async def close(self) -> None:
        """End the agent in order: what the server does not take now waits in the spool."""
        self._over.set()
        await self._running


class Session:
    """The way of one session's events."""

    def __init__(self, directory: Path, source: Source, clock: Clock) -> None:
        self._directory = directory
        self._source = source
        self._clock = clock
        self._taker: Taker | None = None

    async def begin(self) -> Policy:
        """Find who takes the events; raises `NotAllowedError` when the policy does not allow the recording."""
        self._taker = await self._find_taker(0)
        policy = self._taker.policy
        if not policy.allows(self._source.kind):
            await self.close()
            if policy.paused:
                raise NotAllowedError("recording is paused: `sealstream agent resume`, then start the session")
            raise NotAllowedError("the policy of this computer does not record terminal sessions: nothing was started")
        return policy

    def policy(self) -> Policy:
        """The policy as it is now."""
        return self._taker.policy if self._taker else Policy()

    async def emit(self, event: Record) -> None:
        """Hand an event over, to another taker if need be."""
        while self._taker is not None:
            try:
                await self._taker.emit(event)
            except UnavailableError as error:
                log.warning("session_taker_lost", reason=str(error))
                self._taker = await self._find_taker(RETURN_S)
            else:
                return

    async def close(self) -> None:
        """All is told: make it durable."""
        taker, self._taker = self._taker, None
        if taker is not None:
            await taker.close()

    async def _find_taker(self, patience_s: float) -> Taker:
        """The agent that runs; after so much patience, one of our own."""
        until = self._clock.monotonic() + patience_s
        while True:
            try:
                return await visit(self._directory, self._source)
            except UnavailableError:
                if self._clock.monotonic() >= until:
                    parts = await open_installation(self._directory, self._clock)
                    return OwnAgent(Agent(parts, [], retry=False), self._source.kind)
            await self._clock.sleep(LOOK_S)


async def record_session(directory: Path, command: list[str]) -> int:
    """Record `command`, or the person's shell, to its end; its exit code."""
    from agent.sources.terminal import TerminalSource

    settings = load_settings(directory)
    load_identity(directory)
    wanted = command or ([settings.sources.shell] if settings.sources.shell else [])
    if wanted and shutil.which(wanted[0]) is None:
        raise ConfigError(f"there is no command {wanted[0]!r}")
    source = TerminalSource(wanted)
    with _log_beside(directory):
        session = Session(directory, source, SystemClock())
        _announce(await session.begin())
        try:
            await source.run(session.emit, session.policy)
        finally:
            with contextlib.suppress(UnavailableError):  # the agent that ended has told of what it did not get
                await session.close()
    return source.exit_code if source.exit_code is not None else 1


@contextlib.contextmanager
def _log_beside(directory: Path) -> Iterator[None]:
    """Log to a file: the terminal belongs to the session."""
    with (directory / LOG).open("a") as file, contextlib.redirect_stderr(file):
        configure_logging("agent", json=True)
        yield


def _announce(policy: Policy) -> None:
    """Say on the person's terminal that a recording begins."""
    whom = f" for {policy.organisation}" if policy.organisation else ""
    print(  # the person must see it
        f"This terminal session is recorded{whom}; `sealstream agent notice` says more.",
        file=sys.__stderr__,
        flush=True,
    )
