"""uvicorn behind a door of ours: it serves what has come in, and neither listens, nor accepts, nor takes signals.

Never lets uvicorn accept by itself: it would wait for a first byte for ever, and count who waits against who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

    from gateway.door import Door

Factory = Callable[[], asyncio.BaseProtocol]


class WebServer(uvicorn.Server):
    """A server of `config` behind the door that `make_door` makes for its protocol factory."""

    def __init__(self, config: uvicorn.Config, make_door: Callable[[Factory], Door]) -> None:
        super().__init__(config)
        self._make_door = make_door
        self._door: Door | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - the door has it
        """Open the door."""
        await self.lifespan.startup()
        self.servers = []
        self._door = self._make_door(self._make_protocol)
        self._door.open()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, then let what has been asked be answered."""
        if self._door:
            await self._door.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has handlers of its own."""
        yield

    def _make_protocol(self) -> asyncio.BaseProtocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
