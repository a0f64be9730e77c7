"""Accepting connections: how many TLS handshakes are in progress at once, and who gives way when they are too many.

Never lets peers that stall keep others out: when all places are taken, the address with most of them loses its oldest.
Both TLS ports have one; what comes after the handshake is their own matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from gateway.peer import origin_of

log = structlog.get_logger()

GRACE_S = 0.25
"""How long an arrival waits for a place: an honest handshake takes milliseconds, a stalled one does not end."""

BACKLOG = 1024
_OUT_OF_FILES_PAUSE_S = 0.2


class Door:
    """Accepts on one listening socket.

    `shake_hands` hands a socket to its protocol once TLS is agreed on, and bounds the time that this may take.
    """

    def __init__(
        self,
        listener: socket.socket,
        shake_hands: Callable[[socket.socket], Awaitable[object]],
        *,
        max_handshakes: int,
        may_enter: Callable[[object], bool],
    ) -> None:
        self._listener = listener
        self._greet = shake_hands
        self._max = max_handshakes
        self._may_enter = may_enter
        self._handshakes: dict[asyncio.Task[None], str] = {}
        self._freed = asyncio.Event()
        self._accepting: asyncio.Task[None] | None = None

    @property
    def handshakes(self) -> int:
        """Handshakes in progress."""
        return len(self._handshakes)

    def open(self) -> None:
        """Begin to accept."""
        self._accepting = asyncio.create_task(self._accept(), name="door")

    async def close(self) -> None:
        """Accept no more, and give up handshakes in progress."""
        tasks = [*([self._accepting] if self._accepting else []), *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._listener)
            except OSError as error:  # out of file handles, or the peer is gone already
                log.warning("accept_failed", error=error.strerror)
                await asyncio.sleep(_OUT_OF_FILES_PAUSE_S)
                continue
            if not self._may_enter(address):
                sock.close()
                continue
            await self._make_place()
            task = loop.create_task(self._shake_hands(sock))
            self._handshakes[task] = origin_of(address)
            task.add_done_callback(self._leave)

    async def _make_place(self) -> None:
        if len(self._handshakes) < self._max:
            return
        self._freed.clear()
        try:
            await asyncio.wait_for(self._freed.wait(), GRACE_S)
        except TimeoutError:
            busiest, count = Counter(self._handshakes.values()).most_common(1)[0]
            log.warning("handshake_evicted", origin=busiest, handshakes=count)
            oldest = next(task for task, origin in self._handshakes.items() if origin == busiest)
            oldest.cancel()
            await asyncio.wait([oldest])

    async def _shake_hands(self, sock: socket.socket) -> None:
        """One handshake; what goes wrong in it is the peer's, and ends it alone."""
        handed_over = False
        try:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._greet(sock)
            handed_over = True
        except (OSError, ssl.SSLError, TimeoutError) as error:
            log.info("handshake_failed", error=type(error).__name__, detail=getattr(error, "reason", "") or "")
        finally:
            if not handed_over:
                sock.close()

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        self._freed.set()
