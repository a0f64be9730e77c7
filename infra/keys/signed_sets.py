"""The signed key sets of this installation: the table's, and the node's copy of them.

Never verifies, makes or changes one: agents verify, and an officer signs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from infra.keys.registry import replace_copy
from infra.keys.table import Connection
from schemas.errors import ConfigError, MalformedError
from schemas.keyset import SignedKeySet

log = structlog.get_logger(__name__)

SETS_NAME = "key_sets.json"


async def fetch_sets(connection: Connection) -> list[dict[str, Any]]:
    """The sets of the newest version, as they were signed."""
    rows = await connection.fetch(
        "SELECT signed FROM key_set WHERE version = (SELECT max(version) FROM key_set) ORDER BY ordinal"
    )
    return [json.loads(row["signed"]) for row in rows]


async def edition_of_sets(connection: Connection) -> tuple[int, int]:
    """Newest version and how many sets there are: another one when officers have signed."""
    row = await connection.fetchrow("SELECT coalesce(max(version), 0) AS version, count(*) AS sets FROM key_set")
    assert row is not None
    return int(row["version"]), int(row["sets"])


async def newest_version(connection: Connection) -> int:
    """The version of the newest sets, 0 when there are none."""
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM key_set"))


async def store_sets(connection: Connection, version: int, sets: Sequence[SignedKeySet]) -> None:
    """Put new sets in force, all at once."""
    async with connection.transaction():
        for ordinal, signed in enumerate(sets):
            await connection.execute(
                "INSERT INTO key_set (version, ordinal, signed) VALUES ($1, $2, $3)",
                version,
                ordinal,
                json.dumps(signed.to_json()),
            )


def save_sets(folder: Path, sets: Sequence[Mapping[str, Any]]) -> None:
    """Keep the sets beside the keys, for a start without PostgreSQL."""
    replace_copy(folder / SETS_NAME, json.dumps(sets, sort_keys=True).encode() + b"\n")


def load_signed_sets(folder: Path) -> dict[str, dict[str, str]]:
    """The kept sets by the id of each agent that they are for; under the empty id the one for all others.

    A set that is not of its form is left out: the agents would refuse it, and keep the one before.
    """
    path = folder / SETS_NAME
    try:
        bodies = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not usable ({error}): move it away, it is made again from the table") from None
    found: dict[str, dict[str, str]] = {}
    for body in bodies if isinstance(bodies, list) else []:
        try:
            signed = SignedKeySet.from_json(body)
            agents = signed.agents
        except MalformedError as error:
            log.error("key_set_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            continue
        found |= dict.fromkeys(agents or ("",), signed.to_json())
    return found
