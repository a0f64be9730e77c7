"""Which KEKs are registered, for what, and how far their life is: the rows of the table, and the node's copy of them.

Never names a file outside the folder of keys: who can write a row must not choose files of this machine.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.files import sync_directory
from infra.keys.files import PRIVATE_SUFFIX, PUBLIC_SUFFIX
from schemas.errors import ConfigError, KekMissingError
from schemas.keys import Recipient

COPY_NAME = "registered.json"
PKCS11_SCHEME = "pkcs11:"


class Purpose(StrEnum):
    """What a KEK is for."""

    SERVER = "server"
    """What the miners read is sealed to it: the server opens it by itself."""
    END_TO_END = "end_to_end"
    """End-to-end streams are sealed to it: only a person with its passphrase opens it."""


class State(StrEnum):
    """How far a KEK's life is."""

    ACTIVE = "active"
    OPENING = "opening"
    """Nothing new is sealed to it; what was, still opens."""
    RETIRED = "retired"
    """Everything was re-wrapped: it is not used any more."""
    REVOKED = "revoked"
    """It is in wrong hands: it is not used any more, whatever was sealed to it."""


USABLE = frozenset({State.ACTIVE, State.OPENING})


@dataclass(frozen=True, slots=True)
class Registered:
    """One row of `encryption_kek`. `public` and `private` are file names in the folder, or `private` a PKCS#11 URI."""

    public: str
    private: str = ""
    encrypted: bool = True
    purpose: Purpose = Purpose.END_TO_END
    state: State = State.ACTIVE
    successor: str = ""

    @property
    def name(self) -> str:
        """What people call it: the public file's name without its ending."""
        return self.public.removesuffix(PUBLIC_SUFFIX)

    @property
    def in_token(self) -> bool:
        """Whether the private half lives in a PKCS#11 token."""
        return self.private.startswith(PKCS11_SCHEME)

    def public_path(self, folder: Path) -> Path:
        """Where the public half lies; raises `ConfigError` for a row that names a place elsewhere."""
        return _within(folder, self.public)

    def private_path(self, folder: Path) -> Path:
        """Where the private half lies; raises `KekMissingError` for a KEK without one, `ConfigError` as above."""
        if not self.private or self.in_token:
            raise KekMissingError(f"the KEK {self.name!r} has no private half in a file")
        return _within(folder, self.private)

    def recipient(self, folder: Path) -> Recipient:
        """The public half; raises `ConfigError` that names the file."""
        path = self.public_path(folder)
        try:
            return Recipient.from_pem(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"the public key {path} cannot be read: {error.strerror}") from None
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None


def in_folder(folder: Path) -> list[Registered]:
    """What a folder that nobody registered anything of holds: the server's own KEKs."""
    publics = sorted(path.name for path in folder.glob("*" + PUBLIC_SUFFIX))
    return [Registered(name, _private_beside(folder, name), purpose=Purpose.SERVER) for name in publics]


def find(rows: Iterable[Registered], name: str) -> Registered:
    """The row of that name (or public file); raises `KekMissingError` that lists those there are."""
    listed = list(rows)
    for row in listed:
        if name in {row.name, row.public}:
            return row
    known = ", ".join(sorted(row.name for row in listed)) or "none"
    raise KekMissingError(f"no KEK {name!r} is registered (there are: {known}): `sealstream keys register {name}`")


def save_copy(folder: Path, rows: Sequence[Registered]) -> None:
    """Keep the rows beside the keys, for a start without PostgreSQL."""
    replace_copy(folder / COPY_NAME, json.dumps([asdict(row) for row in rows], indent=1).encode() + b"\n")


def replace_copy(path: Path, text: bytes) -> None:
    """Write a copy whole if it differs; several processes of a node may do so at once."""
    if path.exists() and path.read_bytes() == text:
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}-", delete=False) as beside:
        beside.write(text)
        beside.flush()
        os.fsync(beside.fileno())
    Path(beside.name).replace(path)
    sync_directory(path.parent)


def load_copy(folder: Path) -> list[Registered] | None:
    """The rows as last kept, none when they never were; raises `ConfigError` for a copy that is damaged."""
    path = folder / COPY_NAME
    try:
        return [as_registered(row) for row in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is not usable ({error}): move it away, it is made again from the table") from None


def known_rows(folder: Path) -> list[Registered]:
    """What this node knows without asking the table: its copy, else the folder."""
    copied = load_copy(folder)
    return in_folder(folder) if copied is None else copied


def as_registered(row: Mapping[str, Any]) -> Registered:
    """A row from its columns; raises `ValueError` or `KeyError`."""
    return Registered(
        row["public"],
        row["private"] or "",
        bool(row["encrypted"]),
        Purpose(row["purpose"]),
        State(row["state"]),
        row["successor"] or "",
    )


def _private_beside(folder: Path, public: str) -> str:
    private = public.removesuffix(PUBLIC_SUFFIX) + PRIVATE_SUFFIX
    return private if (folder / private).exists() else ""


def _within(folder: Path, name: str) -> Path:
    path = Path(name)
    if path.is_absolute() and path.parent == folder:
        path = Path(path.name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigError(f"{name!r} is not a file in {folder}: keys lie there, and rows name them without a directory")
    return folder / path
