"""The relational store as a sink: every batch is one transaction.

Never leaves half of a batch behind, and never counts a record twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from infra.migrate import migrate
from schemas.errors import MalformedError, UnavailableError
from schemas.records import decode_record
from schemas.topics import ACTIVITY, ALERTS, AUDIT, ENVELOPES, LIFECYCLE
from sinks.envelopes import Peeker
from sinks.postgresql.connection import Connection, connect, store_errors
from sinks.postgresql.copying import add_rows
from sinks.postgresql.fold import Fact, check_fact, fold_facts
from sinks.postgresql.rows import AVRO_ROWS, ENVELOPE, Row, Table, avro_row, envelope_row, text
from sinks.sink import Reject, SinkRecord

_ENVELOPES = frozenset(topic.name for topic in ENVELOPES)

_SEEN = """
INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (agent_id) DO UPDATE SET first_seen_at = least(agent.first_seen_at, EXCLUDED.first_seen_at),
last_seen_at = greatest(agent.last_seen_at, EXCLUDED.last_seen_at)"""


class PostgresqlSink:
    """Writes to the database at `dsn`, which it migrates first."""

    name = "postgresql"
    topics: tuple[str, ...] = (*sorted(_ENVELOPES), LIFECYCLE.name, ACTIVITY.name, ALERTS.name, AUDIT.name)

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None
        self._peeker = Peeker()

    async def open(self) -> None:
        """Connect and migrate."""
        connection = await self._connected()
        with store_errors():
            await migrate(connection)

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """Store the batch in one transaction; rows that the database refuses are found by halving it."""
        rejects: list[Reject] = []
        good: list[SinkRecord] = []
        plan = Plan()
        for record in batch:
            try:
                plan.add(record, self._peeker)
                good.append(record)
            except MalformedError as error:
                rejects.append(Reject(record, "malformed", str(error)))
        return rejects + await self._store(good, plan)

    async def _store(self, batch: Sequence[SinkRecord], plan: Plan) -> list[Reject]:
        if not batch:
            return []
        connection = await self._connected()
        try:
            with store_errors():
                async with connection.transaction():
                    await plan.store(connection)
        except (
            asyncpg.DataError,
            asyncpg.IntegrityConstraintViolationError,
            asyncpg.ProgramLimitExceededError,
        ) as error:
            if len(batch) == 1:
                return [Reject(batch[0], "rejected", f"{type(error).__name__} ({error.sqlstate})")]
            half = len(batch) // 2
            return [r for part in (batch[:half], batch[half:]) for r in await self._store(part, self._plan(part))]
        except UnavailableError:
            await self.close()
            raise
        return []

    def _plan(self, batch: Sequence[SinkRecord]) -> Plan:
        plan = Plan()
        for record in batch:
            plan.add(record, self._peeker)
        return plan

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn)
        return self._connection

    async def flush(self) -> None:
        """Nothing is left to do: a committed transaction is durable."""

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()


class Plan:
    """What a batch becomes in the database. Raises `MalformedError` for a record that it cannot take."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Table, list[Row]]] = {}
        self._facts: list[Fact] = []
        self._seen: dict[UUID, list[Any]] = {}

    def add(self, record: SinkRecord, peeker: Peeker) -> None:
        """Take one record in."""
        if record.topic in _ENVELOPES:
            row = envelope_row(record, peeker)
            self._rows.setdefault(ENVELOPE.name, (ENVELOPE, []))[1].append(row)
            self._see(row, record)
        elif record.topic in AVRO_ROWS:
            table, row = avro_row(record)
            self._rows.setdefault(table.name, (table, []))[1].append(row)
        else:
            event = decode_record(record.value, "lifecycle_event")
            check_fact(event)
            self._facts.append((record, event))

    def _see(self, row: Row, record: SinkRecord) -> None:
        seen = self._seen.get(row[0])
        if seen is None:
            told = dict(record.headers)
            names = [text((told.get(name) or b"").decode("utf-8", "replace")) for name in ("user", "computer")]
            self._seen[row[0]] = [*names, row[5], row[5]]
        else:
            seen[2], seen[3] = min(seen[2], row[5]), max(seen[3], row[5])

    async def store(self, connection: Connection) -> None:
        """Write all of it within the transaction at hand."""
        for table, rows in self._rows.values():
            await add_rows(connection, table, rows)
        if self._seen:
            await connection.executemany(_SEEN, [(agent, *seen) for agent, seen in self._seen.items()])
        if self._facts:
            await fold_facts(connection, self._facts)
