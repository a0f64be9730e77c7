"""Whether a process of ours is to serve: one row of `node_wish`, by whom and why.

Never forgets a wish while PostgreSQL is away: whoever follows one keeps the last it saw, also over a restart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from infra.files import write_whole
from schemas.errors import ConfigError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection

log = structlog.get_logger(__name__)


class Wanted(StrEnum):
    """What may be wished."""

    SERVING = "serving"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wished of one process, such as `node-1/gateway`."""

    node_id: str
    wanted: Wanted
    by_account: str = ""
    reason: str = ""
    at: datetime | None = None

    @property
    def drained(self) -> bool:
        """Whether it is to let go of what it has, and take nothing new."""
        return self.wanted is Wanted.DRAINED


def may_drain(node_id: str) -> bool:
    """Whether that process follows wishes: gateways, workers of streams and sinks do."""
    name = node_id.partition("/")[2]
    return name == "gateway" or name.startswith(("gateway-", "streams-", "sink-"))


def ends_in_order(node_id: str) -> bool:
    """Whether stopping the process is as good as draining it first: a sink ends with everything committed."""
    return node_id.partition("/")[2].startswith("sink-")


async def put_wish(connection: Connection, wish: Wish) -> None:
    """Wish it; raises `ConfigError` for a process that does not follow wishes."""
    if not may_drain(wish.node_id):
        raise ConfigError(
            f"{wish.node_id} cannot be drained: gateways, workers of streams and sinks can, such as node-1/gateway"
        )
    await connection.execute(
        "INSERT INTO node_wish (node_id, wanted, by_account, reason) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (node_id) DO UPDATE SET wanted = $2, by_account = $3, reason = $4, at = now()",
        *(wish.node_id, wish.wanted.value, wish.by_account, wish.reason),
    )


async def fetch_wish(connection: Connection, node_id: str) -> Wish | None:
    """What is wished of that process now."""
    row = await connection.fetchrow("SELECT * FROM node_wish WHERE node_id = $1", node_id)
    return None if row is None else as_wish(row)


def as_wish(row: asyncpg.Record) -> Wish:
    """A row of the table."""
    return Wish(row["node_id"], Wanted(row["wanted"]), row["by_account"], row["reason"], row["at"])


def keep_wish(path: Path, wish: Wish) -> None:
    """Keep it for a start without PostgreSQL."""
    body = {"node_id": wish.node_id, "wanted": wish.wanted.value, "by_account": wish.by_account, "reason": wish.reason}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(body).encode(), mode=0o644)


def kept_wish(path: Path, node_id: str) -> Wish | None:
    """The last wish that was kept, none when there is none of that process."""
    try:
        body = json.loads(path.read_bytes())
        wish = Wish(body["node_id"], Wanted(body["wanted"]), body["by_account"], body["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("wish_unusable", path=str(path), reason=str(error))
        return None
    return wish if wish.node_id == node_id else None
