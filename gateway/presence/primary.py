"""A pool of connections to whichever Redis is primary, as the Sentinels say.

Never keeps a connection to a server that only follows: what is written there is refused, and who listens there is
counted by nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from infra.sentinels import find_primary
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from infra.settings import RedisSettings


class PrimaryConnection(SentinelManagedConnection):
    """Asks the server what it is, as soon as it is connected: a Sentinel may know it late."""

    async def connect_to(self, address: tuple[str, int]) -> None:
        """Raises the client's `ConnectionError` where that is no primary."""
        await super().connect_to(address)  # type: ignore[no-untyped-call]
        await self.send_command("ROLE", check_health=False)
        role = await self.read_response()
        if role[0] not in ("master", b"master"):
            await self.disconnect()
            raise RedisConnectionError(f"{address[0]}:{address[1]} follows another server")


class Sentinels:
    """What the pool asks for an address."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings

    async def discover_master(self, _service: str) -> tuple[str, int]:
        """Host and port of the primary; raises the client's `ConnectionError`."""
        try:
            primary = await find_primary(self._settings)
        except UnavailableError as error:
            raise RedisConnectionError(str(error)) from None
        return primary.host, primary.port


def open_primary(settings: RedisSettings, **options: Any) -> Redis:
    """A client of the primary; the settings' address says which database and user."""
    named = {name: value for name, value in parse_url(settings.url).items() if name in ("db", "username")}
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        settings.service, Sentinels(settings), connection_class=PrimaryConnection, **named, **options
    )
    return Redis.from_pool(pool)
