"""Taking a backup: PostgreSQL, then the archive, then keys and settings; the manifest when all of it is durable.

Never writes into a directory that has something in it, and never changes what it backs up.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.backup.archive import Previous, copy_archive
from infra.backup.copying import Measure, copy_file, hash_file, make_private, sync_tree
from infra.backup.database import dump_database
from infra.backup.manifest import DUMP, NAME, Entry, Manifest
from infra.backup.sources import find_sources
from infra.files import write_whole
from infra.settings import Settings, postgresql_dsn
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wish:
    """How a backup is to be taken. Without `keys`, private keys and secrets stay out of it."""

    keys: bool = True
    database: bool = True
    previous: Previous | None = None


async def take_backup(settings: Settings, root: Path, wish: Wish, *, measure: Measure, now_ms: int) -> Manifest:
    """Back the installation up into the new directory `root`; `measure` finds the whole part of a growing file.

    Raises `ConfigError` when `root` cannot be used, `UnavailableError` when PostgreSQL is away.
    """
    prepare_directory(root, settings)
    files: dict[str, Entry] = {}
    tables: dict[str, int] = {}
    if wish.database:
        # Before the archive: its index must not name what the archive's copy does not have.
        (root / DUMP).touch(0o600)
        tables = await dump_database(postgresql_dsn(settings), root / DUMP)
        files[DUMP] = Entry((root / DUMP).stat().st_size, hash_file(root / DUMP))
    files |= dict(copy_archive(settings.archive.dir, root, measure, wish.previous))
    left_out: list[str] = []
    for source in find_sources(settings):
        if source.secret and not wish.keys:
            left_out.append(source.name)
            continue
        with suppress(FileNotFoundError):  # removed since it was listed
            files[source.name] = copy_file(source.path, root / source.name)
    sync_tree(root)
    manifest = Manifest(now_ms, settings.node.id, wish.keys, tables, left_out, files)
    write_whole(root / NAME, manifest.encode())
    return manifest


def prepare_directory(root: Path, settings: Settings) -> None:
    """Make `root`, for the owner alone, or take it if it is empty; raises `ConfigError`."""
    for kept in (settings.archive.dir, settings.keys.dir, settings.data.pki, settings.data.secrets):
        if root.absolute().is_relative_to(kept):
            raise ConfigError(f"{root} lies in {kept}, which is to be backed up: name another directory")
    try:
        make_private(root)
        if any(root.iterdir()):
            raise ConfigError(f"{root} is not empty: each backup takes a new directory")
        root.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{root} cannot be used: {error.strerror}") from None
