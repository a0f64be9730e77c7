"""uvicorn behind a door of ours: it serves what has come in, and neither listens, nor accepts, nor takes signals.

Never lets uvicorn accept by itself: it would wait for a first byte for ever, and count who waits against who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from gateway.door import Door
from gateway.visits import Visit, Visits

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

MAX_HEAD_BYTES = 16 * 1024
MAX_HANDSHAKES = 64
SHUTDOWN_TIMEOUT_S = 2.0

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


def make_server(
    app: ASGIApp,
    visits: Visits,
    listener: socket.socket,
    context: ssl.SSLContext,
    handshake_timeout_s: float,
    **uvicorn_options: Any,
) -> WebServer:
    """A server of `app` on `listener`, in TLS as `context` has it, with the bounds that all our HTTPS ports share."""
    config = uvicorn.Config(
        app,
        http=partial(Visit, visits),  # type: ignore[arg-type]  # a factory serves as well as a class
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        **uvicorn_options,
    )
    return WebServer(
        config,
        lambda factory: Door(
            listener,
            lambda sock: asyncio.get_running_loop().connect_accepted_socket(
                factory,
                sock,
                ssl=context,
                ssl_handshake_timeout=handshake_timeout_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            ),
            max_handshakes=MAX_HANDSHAKES,
            may_enter=visits.may_enter,
        ),
    )
