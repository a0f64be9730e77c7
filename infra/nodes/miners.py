"""Which miners there are, and where their gRPC service is reached.

Never asks the miners themselves: the nodes' table says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.keys.table import connected

if TYPE_CHECKING:
    from infra.settings import Settings

_MINERS = """
SELECT split_part(node_id, '/', 1) AS node, state, address, since FROM node_state
WHERE role = 'miner' AND state <> 'left' AND address <> '' ORDER BY node_id"""


@dataclass(frozen=True, slots=True)
class KnownMiner:
    """`address` is ``host:port``; `state` that of its process."""

    node: str
    state: str
    address: str
    since_ms: int


async def find_miners(settings: Settings) -> list[KnownMiner]:
    """Every miner that has not left, by name; raises `UnavailableError`."""
    async with connected(settings) as connection:
        rows = await connection.fetch(_MINERS)
    return [KnownMiner(row["node"], row["state"], row["address"], int(row["since"].timestamp() * 1000)) for row in rows]
