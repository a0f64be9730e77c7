"""Calling a miner, as this node: one connection, gRPC's errors in our words.

Never calls without TLS, and never trusts a CA but the site's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from schemas.errors import ConfigError, RemoteError, UnavailableError
from streams.miner.contract import SERVICE, services
from streams.miner.tls import client_credentials

if TYPE_CHECKING:
    from infra.settings import Settings

ANSWER_S = 30.0
"""Seconds for an answer that is one message."""

_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_OPTIONS = (("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000))


class MissingError(RemoteError):
    """The miner knows nothing of what was asked for."""


class MinerClient:
    """One miner at `address` (``host:port``). Methods of `stub` are called within `answers`."""

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self.address = address
        self.stub: Any = services.MinerStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Raises `UnavailableError`, `MissingError`, `ConfigError` or `RemoteError` for what a call ends with."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise _as_ours(error, self.address) from None

    async def ask(self, method: str, request: Any) -> Any:
        """The one answer of a method."""
        with self.answers():
            return await getattr(self.stub, method)(request, timeout=ANSWER_S)

    async def follow(self, method: str, request: Any) -> AsyncIterator[Any]:
        """The answers of a method that goes on."""
        with self.answers():
            async for message in getattr(self.stub, method)(request):
                yield message

    async def serves(self, timeout_s: float = 5.0) -> bool:
        """What its health check says."""
        with self.answers():
            answer = await self._health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=timeout_s)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def open_miner(settings: Settings, address: str) -> AsyncIterator[MinerClient]:
    """A connection to the miner at ``host:port``; raises `ConfigError` for what is no such place."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{address!r} is not HOST:PORT")
    async with grpc.aio.secure_channel(address, client_credentials(settings), options=_OPTIONS) as channel:
        yield MinerClient(channel, address)


def _as_ours(error: grpc.aio.AioRpcError, address: str) -> Exception:
    code, details = error.code(), error.details() or ""
    if code in _AWAY:
        return UnavailableError(f"the miner at {address} does not answer: {details or code.name.lower()}")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        why = details or "is this address among its approved nodes (`sealstream approved list` there)?"
        return RemoteError(f"the miner at {address} refuses: {why}")
    if code is grpc.StatusCode.NOT_FOUND:
        return MissingError(details)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return ConfigError(details)
    return RemoteError(details or f"the miner at {address} says {code.name}")
