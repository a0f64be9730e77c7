"""Unlocks of the HTTPS port that are under way: each its person's alone, bounded in number and in time.

Never outlives its time, and never leaves an opener process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.unlock.refusal import NOTHING_FOUND, RefusedError
from schemas.errors import SealstreamError

if TYPE_CHECKING:
    from gateway.unlock.process import OpenedKeys, Survey
    from gateway.unlock.session import UnlockSession
    from infra.settings import Settings

log = structlog.get_logger(__name__)


class Unlock(Protocol):
    """An unlock that one person began, here or at another gateway."""

    async def open(self, viewer: bytes, sealed: bytes) -> OpenedKeys:
        """Try a sealed passphrase; the KEKs that it opened. One that opens none ends an unlock with nothing open."""

    async def release(self) -> AsyncIterator[bytes]:
        """The sealed messages, each after its length; then the unlock is over. Raises `RefusedError` at once."""

    async def end(self) -> None:
        """End it; when this returns, its memory is gone."""


@dataclass(slots=True, eq=False)
class Held:
    """An `Unlock` under way in this process, and whose it is; `let_go` forgets it, and says whether it was known."""

    session: UnlockSession
    actor: str
    let_go: Callable[[Held], bool]
    end_soon: Callable[[Held], None]
    ends: asyncio.TimerHandle | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self, viewer: bytes, sealed: bytes) -> OpenedKeys:
        """As `Unlock` says."""
        async with self.busy:
            try:
                return await self.session.open(viewer, sealed)
            except RefusedError:
                if not self.session.goes_on:
                    await self.end()
                raise

    async def release(self) -> AsyncIterator[bytes]:
        """As `Unlock` says."""
        if self.busy.locked():
            raise RefusedError("out_of_turn", "this unlock is busy")
        messages = self.session.release()
        first = await anext(messages)

        async def body() -> AsyncIterator[bytes]:
            try:
                async with self.busy:
                    yield with_length(first)
                    async for message in messages:
                        yield with_length(message)
            finally:
                self.end_soon(self)

        return body()

    async def end(self) -> None:
        """As `Unlock` says."""
        if not self.let_go(self):
            return
        if self.ends:
            self.ends.cancel()
        try:
            await self.session.__aexit__(None, None, None)
        except SealstreamError as error:
            log.error("unlock_end_not_audited", reason=str(error))  # noqa: TRY400 - the message is all there is to say


class HeldUnlocks:
    """All that are under way here; `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.unlock.sessions
        self.session_s = settings.unlock.session_s
        self._held: dict[str, Held] = {}
        self._beginning = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, session: UnlockSession, actor: str) -> Survey:
        """Begin one, and look what is in scope; raises `RefusedError`."""
        if len(self._held) + self._beginning >= self._limit:
            raise RefusedError("too_many_sessions", "other unlocks are under way: try again in a minute", 60)
        self._beginning += 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(session)
                survey = await session.survey()
                stack.pop_all()
        finally:
            self._beginning -= 1
        held = self._held[session.id.hex()] = Held(session, actor, self._let_go, self._end_soon)
        held.ends = asyncio.get_running_loop().call_later(self.session_s, self._end_soon, held)
        return survey

    def find(self, session: str, actor: str) -> Held:
        """That person's unlock; raises `RefusedError`."""
        held = self._held.get(session)
        if held is None or held.actor != actor:
            raise RefusedError(NOTHING_FOUND, "there is no such unlock of yours: it ended, or never began")
        return held

    async def close(self) -> None:
        """End every unlock."""
        for held in list(self._held.values()):
            await held.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _let_go(self, held: Held) -> bool:
        return self._held.pop(held.session.id.hex(), None) is not None

    def _end_soon(self, held: Held) -> None:
        task = asyncio.get_running_loop().create_task(held.end())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def batches(envelopes: Iterator[bytes], least: int = 256 * 1024) -> AsyncIterator[bytes]:
    """Envelopes after their lengths, read beside the event loop."""

    def some() -> bytes:
        batch = bytearray()
        for envelope in envelopes:
            batch += with_length(envelope)
            if len(batch) >= least:
                break
        return bytes(batch)

    while batch := await asyncio.to_thread(some):
        yield batch


def with_length(message: bytes) -> bytes:
    """A message after its length in 4 bytes, big endian."""
    return len(message).to_bytes(4, "big") + message
