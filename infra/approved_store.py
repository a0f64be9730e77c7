"""Changing the list of approved nodes: in the table that all nodes share, or in one node's file.

Never loses a remark or a line that somebody wrote into the file by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.approved import FILE_NAME, TABLE, Network, connect, parse_network, read_file
from infra.files import write_whole
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    import asyncpg

    from infra.settings import Settings


def read_notes(path: Path) -> list[tuple[Network, str]]:
    """Every network of the file with its remark; raises `ConfigError`."""
    if not read_file(path).networks:
        return []
    lines = [line.partition("#") for line in path.read_text("utf-8").splitlines()]
    return [(parse_network(text, str(path)), note.strip()) for text, _, note in lines if text.strip()]


def add_to_file(settings: Settings, network: Network, note: str = "") -> bool:
    """Write it at the end of the file; false where it stands already."""
    path = settings.node.data_dir / FILE_NAME
    if network in read_file(path).networks:
        return False
    before = path.read_text("utf-8") if path.exists() else "# Approved nodes: an address or a network a line.\n"
    line = f"{network}  # {' '.join(note.split())}" if note else str(network)
    write_whole(path, f"{before.rstrip()}\n{line}\n".encode(), mode=0o644)
    return True


def remove_from_file(settings: Settings, network: Network) -> bool:
    """Take its lines out of the file; false where there is none."""
    path = settings.node.data_dir / FILE_NAME
    if network not in read_file(path).networks:
        return False
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not _names(line, network)]
    write_whole(path, "".join(kept).encode(), mode=0o644)
    return True


async def read_rows(settings: Settings) -> list[tuple[Network, str]]:
    """Every network of the table with its note; raises `UnavailableError`."""
    async with _open(settings) as connection:
        rows = await connection.fetch(f"SELECT network, note FROM {TABLE} ORDER BY network")  # noqa: S608
    return [(row["network"], row["note"]) for row in rows]


async def add_to_table(settings: Settings, network: Network, note: str = "") -> bool:
    """Insert it; false where it stands already."""
    statement = f"INSERT INTO {TABLE} (network, note) VALUES ($1, $2) ON CONFLICT DO NOTHING"  # noqa: S608
    async with _open(settings) as connection:
        return str(await connection.execute(statement, network, note)).endswith(" 1")


async def remove_from_table(settings: Settings, network: Network) -> bool:
    """Delete it; false where there is none."""
    async with _open(settings) as connection:
        told = await connection.execute(f"DELETE FROM {TABLE} WHERE network = $1", network)  # noqa: S608
    return str(told).endswith(" 1")


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[asyncpg.Connection[Any]]:
    import asyncpg

    try:
        connection = await connect(settings)
        try:
            yield connection
        finally:
            await connection.close()
    except asyncpg.UndefinedTableError:
        raise UnavailableError(f"the database has no table {TABLE} yet: `sealstream up` migrates it") from None
    except (OSError, TimeoutError) as error:
        raise UnavailableError(
            f"PostgreSQL cannot be asked ({error or type(error).__name__}): see `sealstream status`; "
            "--local changes this node's file and needs none"
        ) from None


def _names(line: str, network: Network) -> bool:
    text = line.partition("#")[0].strip()
    return bool(text) and parse_network(text, FILE_NAME) == network
