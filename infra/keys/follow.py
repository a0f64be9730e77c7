"""Following the table: what is registered and signed reaches every process of a node while it runs (R6.8).

Never ends because PostgreSQL is away, and never forgets what was known before it went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from infra.keys.registry import COPY_NAME, Registered, save_copy
from infra.keys.signed_sets import SETS_NAME, fetch_sets, save_sets
from infra.keys.table import connected, fetch_rows
from infra.settings import Settings
from schemas.errors import UnavailableError

log = structlog.get_logger(__name__)

INTERVAL_S = 2.0

Stamp = tuple[tuple[str, int, int], ...]


async def follow_table(settings: Settings) -> None:
    """Renew this node's copy of what is registered and signed, until cancelled."""
    away = ""
    while True:
        try:
            with _foreseen():
                async with connected(settings) as connection:
                    while True:
                        _keep(settings.keys.dir, await fetch_rows(connection), await fetch_sets(connection))
                        if away:
                            log.info("keys_followed_again")
                            away = ""
                        await asyncio.sleep(INTERVAL_S)
        except UnavailableError as error:
            if str(error) != away:
                log.warning("keys_not_followed", reason=str(error))
                away = str(error)
        await asyncio.sleep(INTERVAL_S)


async def watch_folder(folder: Path, changed: Callable[[], None]) -> None:
    """Call `changed` each time a key or the node's copy of the table is another, until cancelled."""
    before = stamp(folder)
    while True:
        await asyncio.sleep(INTERVAL_S)
        now = stamp(folder)
        if now != before:
            before = now
            changed()


def stamp(folder: Path) -> Stamp:
    """Name, time and size of every file of a folder that says something about keys."""
    seen: list[tuple[str, int, int]] = []
    for path in [folder / COPY_NAME, folder / SETS_NAME, *sorted(folder.glob("*.pem"))]:
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        seen.append((path.name, stat.st_mtime_ns, stat.st_size))
    return tuple(seen)


def _keep(folder: Path, rows: Sequence[Registered], sets: Sequence[Mapping[str, Any]]) -> None:
    try:
        save_copy(folder, rows)
        save_sets(folder, sets)
    except OSError as error:
        raise UnavailableError(f"the copies beside the keys cannot be written: {error.strerror}") from error


@contextmanager
def _foreseen() -> Iterator[None]:
    """What waiting, or a person, may cure, as `UnavailableError`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise UnavailableError(f"PostgreSQL says {type(error).__name__} ({error.sqlstate})") from error
    except (ValueError, KeyError) as error:
        raise UnavailableError(f"a row of the table is not usable: {error}") from error
