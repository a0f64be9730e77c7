"""Reading the audit back from PostgreSQL and Kafka, for listing and checking.

Never changes anything: the role that reads needs no other right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infra.audit_chain import ChainCheck, Checkpoint, Link, Report
from infra.keys.table import connected
from infra.reading import Stretch, read_records
from infra.settings import Settings
from infra.topic_ids import read_topic_ids
from schemas.errors import MalformedError
from schemas.records import decode_record
from schemas.topics import AUDIT

if TYPE_CHECKING:
    from infra.keys.table import Connection

_PAGE = 5000
_LIST = """
SELECT c.number, e.* FROM audit_chain c JOIN audit_entry e
ON (c.entry::jsonb->>'kafka_offset')::bigint = e.kafka_offset AND c.entry::jsonb->>'topic_id' = e.topic_id::text
WHERE e.happened_at >= to_timestamp($1 / 1000.0) AND ($2 = '' OR e.action = $2) AND ($3 = '' OR e.actor LIKE $3)
  AND ($4 = '' OR e.target LIKE $4)
ORDER BY c.number DESC LIMIT $5"""


async def check_audit(settings: Settings, checkpoints: Sequence[Checkpoint] = ()) -> Report:
    """The whole audit checked; raises `UnavailableError` when PostgreSQL or Kafka is away."""
    check = ChainCheck(checkpoints)
    async with connected(settings) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await _take_links(connection, check)
        rows = await connection.fetch("SELECT to_jsonb(e)::text AS entry FROM audit_entry e")
        check.check_rows([json.loads(row["entry"]) for row in rows])
    topic_id = (await read_topic_ids(settings, [AUDIT.name])).get(AUDIT.name)
    if topic_id is not None:
        records = [
            (record.partition, record.offset, _decoded(record.value))
            async for record in read_records(settings, AUDIT.name, Stretch())
        ]
        check.check_records(str(topic_id), records)
    return check.report


async def list_audit(
    settings: Settings, *, since_ms: int, action: str, actor: str, target: str, limit: int
) -> list[dict[str, Any]]:
    """The newest entries, the oldest of them first; `actor` and `target` may be beginnings of theirs."""
    patterns = [_beginning(text) for text in (actor, target)]
    async with connected(settings) as connection:
        rows = await connection.fetch(_LIST, since_ms, action, *patterns, limit)
    return [
        {
            "number": row["number"],
            "time": row["happened_at"].isoformat(timespec="milliseconds"),
            **{name: row[name] for name in ("actor", "action", "target", "purpose", "outcome")},
            "detail": json.loads(row["detail"]),
        }
        for row in reversed(rows)
    ]


async def read_head(settings: Settings) -> Checkpoint | None:
    """The chain's newest state."""
    async with connected(settings) as connection:
        row = await connection.fetchrow("SELECT number, hash FROM audit_chain ORDER BY number DESC LIMIT 1")
    return Checkpoint(row["number"], bytes(row["hash"])) if row else None


async def _take_links(connection: Connection, check: ChainCheck) -> None:
    after = -1
    while True:
        page = await connection.fetch(
            "SELECT number, entry, hash FROM audit_chain WHERE number > $1 ORDER BY number LIMIT $2", after, _PAGE
        )
        for row in page:
            check.take_link(Link(row["number"], row["entry"], bytes(row["hash"])))
        if len(page) < _PAGE:
            return check.end_links()
        after = page[-1]["number"]


def _decoded(value: bytes | None) -> dict[str, Any] | None:
    try:
        return decode_record(value or b"", "audit_entry")
    except MalformedError:
        return None


def _beginning(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}%" if text else ""
