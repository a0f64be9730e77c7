"""Keeping the shared files of a node as all nodes have them: masters publish what changes here, every node follows.

Never writes what `infra.site_files` does not allow, and never loses a file that somebody changed: it is kept beside.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from infra.alone import hold_alone
from infra.files import sync_directory, write_whole
from infra.keys.table import connected
from infra.site_files import (
    REMOVED,
    Edition,
    Move,
    check_file,
    decide,
    digest,
    kind_of,
    local_files,
    place_of,
    sign_edition,
    verify_edition,
)
from schemas.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from infra.keys.table import Connection
    from infra.settings import Settings

log = structlog.get_logger(__name__)

STATE_NAME = "site-files.json"

_PUT = """
INSERT INTO site_file AS known (name, version, content, sha256, signatures, changed_by, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO UPDATE SET version = $2, content = $3, sha256 = $4, signatures = $5, changed_by = $6,
changed_at = $7 WHERE known.version = $8"""


@dataclass(frozen=True, slots=True)
class Row:
    """What the table says of a file, but for its content."""

    edition: Edition
    signatures: list[bytes]
    changed_by: str
    changed_at: dt.datetime


class SiteFollower:
    """Publishes and takes what has changed since the last round."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.gateway.ca_file.parent
        self._publishes = "master" in settings.node.roles
        self._complained: dict[str, str] = {}

    async def exchange(self, connection: Connection) -> None:
        """One round. Of the processes of a node one at a time does it: they write the same files.

        Raises `UnavailableError`, or `ConfigError` where this node's state cannot be kept.
        """
        run = self._settings.data.run
        async with hold_alone(run / ".site.lock"):
            state = load_state(run / STATE_NAME)
            table = await fetch_rows(connection)
            agreed = dict(state)
            for name in sorted({*table, *local_files(self._settings)}):
                try:
                    agreed |= await self._settle(connection, name, state.get(name), table.get(name))
                except (MalformedError, ConfigError, OSError) as error:
                    self._complain(name, str(error))
                else:
                    self._complained.pop(name, None)
            if agreed != state:
                save_state(run / STATE_NAME, agreed)

    async def _settle(
        self, connection: Connection, name: str, known: Edition | None, row: Row | None
    ) -> Mapping[str, Edition]:
        """Do what is to be done about one file; what this node agrees on now."""
        path, kind = place_of(self._settings, name), kind_of(name)
        if kind.masters and not self._publishes:
            return {}
        content = path.read_bytes() if path.is_file() else None
        local, table = digest(content), row.edition if row else None
        move = decide(local, known, table, publishes=self._publishes, removable=kind.removable)
        if move is Move.AGREE and row and self._publishes and not self._is_signed(name, row):
            move = Move.PUBLISH
        if move is Move.PUBLISH:
            return await self._publish(connection, name, content, known, table)
        if move is Move.TAKE and row:
            await self._take(connection, name, row, known)
            return {name: row.edition}
        return {name: row.edition} if move is Move.AGREE and row else {}

    async def _publish(
        self, connection: Connection, name: str, content: bytes | None, known: Edition | None, table: Edition | None
    ) -> Mapping[str, Edition]:
        if content is not None:
            check_file(name, content)
        edition = Edition(max((it.version for it in (known, table) if it), default=0) + 1, digest(content))
        signatures = await asyncio.to_thread(sign_edition, self._directory, name, edition)
        told = await connection.execute(
            _PUT,
            name,
            edition.version,
            content,
            edition.sha256,
            signatures,
            self._settings.node.id,
            changed_at(place_of(self._settings, name)),
            table.version if table else 0,
        )
        if not told.endswith(" 1"):
            return {}  # another master was faster: the next round follows it
        log.info("site_file_published", file=name, version=edition.version)
        return {name: edition}

    async def _take(self, connection: Connection, name: str, row: Row, known: Edition | None) -> None:
        """Write what the table has; raises `MalformedError` for what this node must not have."""
        verify_edition(self._directory, name, row.edition, row.signatures)
        content = await connection.fetchval(
            "SELECT content FROM site_file WHERE name = $1 AND version = $2", name, row.edition.version
        )
        if digest(content) != row.edition.sha256:
            raise MalformedError(f"{name}, version {row.edition.version}, is not what was signed", "content")
        path = place_of(self._settings, name)
        if content is not None:
            check_file(name, content)
        here = digest(path.read_bytes() if path.is_file() else None)
        if here not in {REMOVED, row.edition.sha256, known.sha256 if known and content is not None else REMOVED}:
            kept = keep_beside(path, moved=content is None)
            log.warning("site_file_replaced", file=name, kept=kept.name, by=row.changed_by)
        if content is not None:
            put_file(path, content, row.changed_at, kind_of(name).mode)
        log.info("site_file_taken", file=name, version=row.edition.version, by=row.changed_by)

    def _is_signed(self, name: str, row: Row) -> bool:
        """Whether a CA that is trusted now signed it: one that went may have been the only one."""
        try:
            verify_edition(self._directory, name, row.edition, row.signatures)
        except MalformedError:
            return False
        return True

    def _complain(self, name: str, reason: str) -> None:
        if self._complained.get(name) != reason:
            self._complained[name] = reason
            log.error("site_file_unusable", file=name, reason=reason)


async def fetch_rows(connection: Connection) -> dict[str, Row]:
    """What the table has, by name."""
    rows = await connection.fetch("SELECT name, version, sha256, signatures, changed_by, changed_at FROM site_file")
    return {
        row["name"]: Row(
            Edition(row["version"], row["sha256"]), row["signatures"], row["changed_by"], row["changed_at"]
        )
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """How one shared file stands: `here` is same, differs, missing, new (not published yet) or unusable."""

    name: str
    version: int
    changed_by: str
    changed_at: dt.datetime | None
    here: str


async def survey(settings: Settings) -> list[Standing]:
    """Every shared file of the table and of this node, by name; raises `UnavailableError`."""
    async with connected(settings) as connection:
        table = await fetch_rows(connection)
    local = {name: digest(path.read_bytes()) for name, path in local_files(settings).items()}
    found = [Standing(name, 0, "", None, "new") for name in local.keys() - table.keys()]
    for name, row in table.items():
        try:
            here = local.get(name, REMOVED)
            verify_edition(settings.gateway.ca_file.parent, name, row.edition, row.signatures)
            place_of(settings, name)
            state = "same" if here == row.edition.sha256 else "missing" if here == REMOVED else "differs"
        except (MalformedError, ConfigError):
            state = "unusable"
        found.append(Standing(name, row.edition.version, row.changed_by, row.changed_at, state))
    return sorted(found, key=lambda one: one.name)


def load_state(path: Path) -> dict[str, Edition]:
    """What this node agreed on last, by name; nothing where that cannot be read: the table holds then."""
    try:
        return {name: Edition(int(row[0]), str(row[1])) for name, row in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        log.warning("site_state_unusable", reason=str(error))
        return {}


def save_state(path: Path, agreed: Mapping[str, Edition]) -> None:
    """Keep what this node agrees on; raises `ConfigError`."""
    body = {name: [edition.version, edition.sha256] for name, edition in sorted(agreed.items())}
    try:
        write_whole(path, json.dumps(body, indent=1).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def changed_at(path: Path) -> dt.datetime:
    """When a file was changed, to the millisecond; now for one that is gone."""
    changed_s = path.stat().st_mtime_ns // 1_000_000 / 1000 if path.exists() else time.time()
    return dt.datetime.fromtimestamp(changed_s, dt.UTC)


def put_file(path: Path, content: bytes, changed: dt.datetime, mode: int) -> None:
    """Write a file whole, with the time of its change: a policy without a version has that for one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as beside:
        beside.write(content)
        beside.flush()
        os.fchmod(beside.fileno(), mode)
        stamp = round(changed.timestamp() * 1000) * 1_000_000
        os.utime(beside.fileno(), ns=(stamp, stamp))
        os.fsync(beside.fileno())
    Path(beside.name).replace(path)
    sync_directory(path.parent)


def keep_beside(path: Path, *, moved: bool) -> Path:
    """Keep a file under another name, where no reader of its folder takes it for one of its own."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%f")
    kept = path.with_name(f"{path.name}.replaced-{stamp}")
    if moved:
        path.replace(kept)
    else:
        write_whole(kept, path.read_bytes())
    return kept
