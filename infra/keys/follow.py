"""Following the table: what is registered and signed reaches every process of a node while it runs (R6.8).

Never ends because PostgreSQL is away, and never forgets what was known before it went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from infra.keys.registry import COPY_NAME, Registered, save_copy
from infra.keys.signed_sets import SETS_NAME, edition_of_sets, fetch_sets, save_sets
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
                    edition: tuple[int, int] | None = None
                    while True:
                        _keep_rows(settings.keys.dir, await fetch_rows(connection))
                        if edition != (now := await edition_of_sets(connection)):
                            _keep_sets(settings.keys.dir, await fetch_sets(connection))
                            edition = now
                        if away:
                            log.info("keys_followed_again")
                            away = ""
                        await asyncio.sleep(INTERVAL_S)
        except UnavailableError as error:
            if str(error) != away:
                log.warning("keys_not_followed", reason=str(error))
                away = str(error)
        await asyncio.sleep(INTERVAL_S)


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


def _keep_rows(folder: Path, rows: Sequence[Registered]) -> None:
    with _writing():
        save_copy(folder, rows)


def _keep_sets(folder: Path, sets: Sequence[Mapping[str, Any]]) -> None:
    with _writing():
        save_sets(folder, sets)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
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
