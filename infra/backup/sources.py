"""What of an installation a backup holds beside PostgreSQL and the archive: every file that its settings name.

Never lists what is made again by itself: logs, notes of running processes, the stores' own data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.backup.manifest import DATA, ELSEWHERE
from infra.datadir import CONFIG_NAME, CONFIG_VARIABLE
from infra.settings import Settings

_NOT_OURS = {("node", "data_dir"), ("archive", "dir"), ("console", "pages_dir")}
"""Paths of settings that are no files to keep, or that are kept in another way."""

_SECRET_ENDINGS = ("key_file", "password_file", "passphrase_file", "secret_file", "tokens_file")
_PEM_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A file to keep, and its name in the backup. `secret`: whoever has it can open or pretend something."""

    name: str
    path: Path
    secret: bool


def find_sources(settings: Settings) -> list[Source]:
    """Every file to keep, by name, each once."""
    root = settings.data.root
    config = Path(os.environ.get(CONFIG_VARIABLE) or settings.data.config)
    found = {f"{DATA}/{CONFIG_NAME}": Source(f"{DATA}/{CONFIG_NAME}", config.absolute(), secret=False)}
    for place, secret in _places(settings):
        for path in _files(place):
            name = _name(root, path)
            known = secret or is_secret(path, root) or (name in found and found[name].secret)
            found[name] = Source(name, path, known)
    return [source for _, source in sorted(found.items()) if source.path.is_file()]


def is_secret(path: Path, root: Path) -> bool:
    """Whether a file holds a private key, or lies among the secrets."""
    if path.suffix == ".key" or path.is_relative_to(root / "secrets"):
        return True
    with path.open("rb") as file:
        return b"PRIVATE KEY" in file.read(_PEM_LIMIT)


def _places(settings: Settings) -> Iterator[tuple[Path, bool]]:
    """Files and directories, and whether all in them is secret."""
    data = settings.data
    yield from ((place, False) for place in (data.keys, data.pki, data.secrets))
    for table in type(settings).model_fields:
        for name, value in getattr(settings, table):
            if isinstance(value, Path) and (table, name) not in _NOT_OURS and not data.root.is_relative_to(value):
                yield value, name.endswith(_SECRET_ENDINGS)


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return [path for path in sorted(place.rglob("*")) if path.is_file() and not path.name.endswith(".new")]
    return [place] if place.is_file() else []


def _name(root: Path, path: Path) -> str:
    """The name in the backup: below the data directory as it lies there, else by its whole path."""
    if path.is_relative_to(root):
        return f"{DATA}/{path.relative_to(root).as_posix()}"
    return f"{ELSEWHERE}/{path.as_posix().lstrip('/')}"
