"""The register that masters share, in PostgreSQL: tokens, certificates, revocations, and what agents say they know.

Never gives out more uses than a token has, and never changes a certificate's row. Each function works on a connection;
those that write more than one row want a transaction round them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from infra.pki.register import Entry
from infra.pki.revocations import SERIAL_PREFIX, normalise
from infra.pki.tokens import Token
from schemas.errors import MalformedError
from schemas.trust import read_pin

if TYPE_CHECKING:
    from infra.keys.table import Connection

log = structlog.get_logger()

PAGE = 5000

_COLUMNS = tuple(field.name for field in fields(Entry))


async def take_in_tokens(connection: Connection, tokens: Iterable[Token], node: str) -> None:
    """Keep tokens; of one that is known already the fewer uses hold. Those that are over are forgotten."""
    await connection.execute("DELETE FROM enrolment_token WHERE expires_at < now()")
    for token in tokens:
        await connection.execute(
            "INSERT INTO enrolment_token AS known (secret_hash, uses_left, expires_at, made_by) "
            "VALUES ($1, $2, to_timestamp($3::bigint / 1000.0), $4) ON CONFLICT (secret_hash) DO UPDATE SET "
            "uses_left = least(known.uses_left, EXCLUDED.uses_left)",
            token.secret_hash,
            token.uses,
            token.expires_ms,
            node,
        )


async def has_use(connection: Connection, secret_hash: str) -> bool:
    """Whether a use is left now; that it still is when it is to be spent, `spend_token` says."""
    found = await connection.fetchval(
        "SELECT true FROM enrolment_token WHERE secret_hash = $1 AND uses_left > 0 AND expires_at > now()", secret_hash
    )
    return bool(found)


async def spend_token(connection: Connection, secret_hash: str) -> bool:
    """Take one use, if there is one; it is given back when the transaction round it fails."""
    left = await connection.fetchval(
        "UPDATE enrolment_token SET uses_left = uses_left - 1 "
        "WHERE secret_hash = $1 AND uses_left > 0 AND expires_at > now() RETURNING uses_left",
        secret_hash,
    )
    return left is not None


async def add_entries(connection: Connection, entries: Sequence[Entry]) -> None:
    """Add certificates; one that is there stays as it is."""
    if not entries:
        return
    async with connection.transaction():
        await connection.execute("LOCK TABLE issued_certificate IN SHARE ROW EXCLUSIVE MODE")
        places = ", ".join(f"${place}" for place in range(1, len(_COLUMNS) + 1))
        await connection.executemany(
            f"INSERT INTO issued_certificate ({', '.join(_COLUMNS)}) VALUES ({places}) "  # noqa: S608 - our own names
            "ON CONFLICT (serial) DO NOTHING",
            [tuple(asdict(entry).values()) for entry in entries],
        )


async def fetch_entries(connection: Connection, after: int) -> tuple[list[Entry], int]:
    """A page of certificates beyond the number `after`, and the last number of it."""
    rows = await connection.fetch(
        "SELECT * FROM issued_certificate WHERE number > $1 ORDER BY number LIMIT $2", after, PAGE
    )
    return _usable(rows), rows[-1]["number"] if rows else after


async def fetch_entries_of(connection: Connection, name: str) -> list[Entry]:
    """The certificates of one holder."""
    return _usable(await connection.fetch("SELECT * FROM issued_certificate WHERE name = $1 ORDER BY number", name))


async def add_revocations(connection: Connection, lines: Iterable[str], node: str) -> None:
    """Revoke for good."""
    wanted = sorted(lines)
    if not wanted:
        return
    async with connection.transaction():
        await connection.execute("LOCK TABLE revocation IN SHARE ROW EXCLUSIVE MODE")
        await connection.executemany(
            "INSERT INTO revocation (what, revoked_by) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(line, node) for line in wanted],
        )


async def fetch_revocations(connection: Connection, after: int) -> tuple[set[str], int]:
    """What was revoked beyond the number `after`, and the last number."""
    rows = await connection.fetch(
        "SELECT what, number FROM revocation WHERE number > $1 ORDER BY number LIMIT $2", after, PAGE
    )
    return {line for row in rows if (line := _line(row["what"]))}, rows[-1]["number"] if rows else after


async def is_revoked(connection: Connection, agent: str, serial: str) -> bool:
    """Whether that agent, or that certificate of it, is revoked."""
    found = await connection.fetchval(
        "SELECT true FROM revocation WHERE what = $1 OR what = $2 LIMIT 1", agent, SERIAL_PREFIX + serial
    )
    return bool(found)


async def is_older(connection: Connection, entry: int, revocation: int) -> bool:
    """Whether the tables do not reach these numbers: another database, or one that was restored."""
    row = await connection.fetchrow(
        "SELECT (SELECT coalesce(max(number), 0) FROM issued_certificate) AS entry, "
        "(SELECT coalesce(max(number), 0) FROM revocation) AS revocation"
    )
    return row is None or row["entry"] < entry or row["revocation"] < revocation


async def put_heard(connection: Connection, heard: Mapping[str, int]) -> None:
    """What agents say that they have: it only grows."""
    await connection.executemany(
        "INSERT INTO trust_heard AS known (agent_id, version) VALUES ($1, $2) ON CONFLICT (agent_id) DO UPDATE SET "
        "version = EXCLUDED.version, heard_at = now() WHERE known.version < EXCLUDED.version",
        [(UUID(agent), version) for agent, version in heard.items()],
    )


async def fetch_heard(connection: Connection) -> dict[str, int]:
    """The same of all nodes, by agent id."""
    return {str(row["agent_id"]): row["version"] for row in await connection.fetch("SELECT * FROM trust_heard")}


def _usable(rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
    return [entry for row in rows if (entry := _entry(row))]


def _entry(row: Mapping[str, Any]) -> Entry | None:
    """A row as an entry; one that could not be ours is left out, loudly."""
    entry = Entry(**{name: row[name] for name in _COLUMNS})
    try:
        if entry.kind == "agent":
            UUID(entry.name)
        for pin in (entry.pin, entry.backup_pin):
            if pin:
                read_pin(pin)
    except (ValueError, MalformedError) as error:
        log.error("certificate_row_unusable", serial=entry.serial, reason=str(error))  # noqa: TRY400 - that is all
        return None
    return entry


def _line(text: str) -> str:
    try:
        return normalise(text)
    except MalformedError as error:
        log.error("revocation_row_unusable", reason=str(error))  # noqa: TRY400 - that is all there is to say
        return ""
