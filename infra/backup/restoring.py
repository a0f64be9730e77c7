"""Restoring a backup: everything is checked first, then put in its place at once.

Never restores into a directory that has something in it, and never what does not fit its manifest.
"""

from __future__ import annotations

import shutil
import tomllib
from itertools import islice
from pathlib import Path, PurePosixPath

from infra.backup.copying import make_private, restore_file, sync_tree
from infra.backup.manifest import ARCHIVE, DATA, DUMP, ELSEWHERE, Manifest, find_faults, read_manifest
from infra.datadir import CONFIG_NAME
from infra.files import sync_directory
from schemas.errors import ConfigError, MalformedError

_STAGE = ".restoring"
_SHOWN = 5


def check_backup(root: Path, digest: str = "") -> Manifest:
    """The manifest of a backup of which every file is as it was; raises `MalformedError` otherwise.

    `digest` is the manifest's own SHA-256, where it was kept elsewhere.
    """
    manifest, found = read_manifest(root)
    if digest and digest.lower() != found:
        raise MalformedError(f"the manifest of {root} is not the one of this digest: its SHA-256 is {found}")
    faults = list(islice(find_faults(root, manifest), _SHOWN))
    if faults:
        raise MalformedError(f"the backup {root} is damaged, nothing was restored: {'; '.join(faults)}")
    return manifest


def restore_files(root: Path, manifest: Manifest, data: Path) -> None:
    """Put the files of a checked backup into the new data directory `data`.

    They are gathered within it under another name and moved when all are there, the settings last. Raises
    `ConfigError` when `data` cannot be used.
    """
    stage = prepare_data(data)
    for name, entry in manifest.files.items():
        place = _place(name)
        if place is not None:
            restore_file(root / name, stage / place, entry)
    sync_tree(stage)
    for path in sorted(stage.iterdir(), key=lambda path: path.name == CONFIG_NAME):
        path.rename(data / path.name)
    stage.rmdir()
    sync_directory(data)


def prepare_data(data: Path) -> Path:
    """Make `data`, or take it if it is empty; the directory in it where files are gathered."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        there = [path.name for path in data.iterdir()]
        if there == [_STAGE]:  # of a restore that was interrupted: nothing was in its place
            shutil.rmtree(data / _STAGE)
        elif there:
            raise ConfigError(f"{data} is not empty: restore into a new directory, and nothing is lost")
        make_private(data / _STAGE)
    except OSError as error:
        raise ConfigError(f"{data} cannot be used: {error.strerror}") from None
    return data / _STAGE


def _place(name: str) -> PurePosixPath | None:
    """Where a file of a backup belongs in the data directory; the dump belongs into PostgreSQL."""
    path = PurePosixPath(name)
    match path.parts[0]:
        case part if part == DATA:
            return path.relative_to(DATA)
        case part if part in {ARCHIVE, ELSEWHERE}:
            return path
        case _ if name == DUMP:
            return None
    raise MalformedError(f"{name!r} is nothing that this release restores")


def settings_to_change(manifest: Manifest, config: Path) -> list[str]:
    """What to look at in restored settings: what lay outside of the data directory."""
    outside = [name.removeprefix(ELSEWHERE) for name in manifest.files if name.startswith(f"{ELSEWHERE}/")]
    told = [f"{path} of the backup's node lies in {ELSEWHERE}{path} now" for path in outside]
    settings = tomllib.loads(config.read_text("utf-8")) if config.is_file() else {}
    place = settings.get("archive", {}).get("dir", ARCHIVE)
    if place != ARCHIVE:
        told.append(f"archive.dir is {place}, and the archive was restored to {config.parent / ARCHIVE}")
    return told
