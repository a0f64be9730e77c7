"""What presence looks like in Redis: the keys, what stands in them, and the client.

Never keeps anything that cannot be told again: all of it ends by itself within seconds.

    gateways          sorted set: names of gateways by when they told last (seconds since 1970)
    gateway:NAME      JSON, a `GatewayReport`; gone `SILENT_S` after the last report
    agents:NAME       hash: agent id to JSON, an `AgentNote`; gone with the report
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.presence.primary import open_primary
from infra.redis_client import client_options

if TYPE_CHECKING:
    from infra.settings import RedisSettings

BEAT_S = 1.0
"""A gateway tells so often."""

SILENT_S = 6.0
"""A gateway that has told nothing for so long is taken for dead."""

REDIS_FAULTS = (RedisError, OSError, TimeoutError, RuntimeError)
"""What asking Redis raises while it is away; a closed transport's write is a `RuntimeError` of uvloop's."""


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """One gateway process with an agent port, as it told of itself.

    Addresses are `host:port`; `cpu` is the share of one processor that it uses, 0 to 1; times in ms since 1970.
    """

    name: str
    agent_address: str
    live_address: str
    agents: int = 0
    """Connected now."""
    greeted: int = 0
    """Welcomed since it started: how many of those that were sent there have come."""
    capacity: int = 0
    cpu: float = 0.0
    received_bytes_s: float = 0.0
    refusal: str = ""
    """Why agents should not come now; empty when they may."""
    started_ms: int = 0
    incarnation: str = ""
    version: str = ""
    beat: int = 0
    """Number of the report."""
    heard: bool = True
    """Whether it tells of itself; what the lifecycle log alone tells may be dead already."""

    @property
    def accepts(self) -> bool:
        """Whether agents may come."""
        return not self.refusal


@dataclass(frozen=True, slots=True)
class AgentNote:
    """What a gateway tells of an agent that is connected to it. `live`: streams that can be watched or heard."""

    user: str
    computer: str
    live: tuple[str, ...] = ()
    end_to_end: bool = False
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of the keys under `prefix`."""

    prefix: str

    @property
    def gateways(self) -> str:
        """Names of gateways."""
        return f"{self.prefix}gateways"

    def gateway(self, name: str) -> str:
        """The report of one."""
        return f"{self.prefix}gateway:{name}"

    def agents(self, name: str) -> str:
        """The agents of one."""
        return f"{self.prefix}agents:{name}"


def open_redis(settings: RedisSettings, *, connections: int = 4, decode: bool = True) -> Redis:
    """A client that fails soon rather than waits; no connection is made before it is used. Without `decode`: bytes.

    With Sentinels each connection goes to the server that is primary when it is made; one that breaks is made anew.
    """
    options = client_options(settings, decode=decode) | {"max_connections": connections}
    if settings.sentinels:
        return open_primary(settings, **options)
    client: Redis = Redis.from_url(settings.url, **options)
    return client


_REPORT = TypeAdapter(GatewayReport)
_NOTE = TypeAdapter(AgentNote)


def dump_report(report: GatewayReport) -> bytes:
    """As it stands in Redis."""
    return _REPORT.dump_json(report)


def load_report(text: str | bytes) -> GatewayReport | None:
    """The mirror image of `dump_report`; what a newer release tells besides is left out. None for what is no report."""
    with contextlib.suppress(ValidationError):
        return _REPORT.validate_json(text)
    return None


def dump_note(note: AgentNote) -> bytes:
    """As it stands in Redis."""
    return _NOTE.dump_json(note)


def load_note(text: str | bytes) -> AgentNote | None:
    """The mirror image of `dump_note`; none for what is no note."""
    with contextlib.suppress(ValidationError):
        return _NOTE.validate_json(text)
    return None
