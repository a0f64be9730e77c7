"""The relational store as a sink: every batch is one transaction.

Never leaves half of a batch behind, and never counts a record twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import asyncpg

from infra.migrate import migrate
from schemas.errors import MalformedError, UnavailableError
from schemas.records import decode_record
from schemas.topics import ACTIVITY, ALERTS, AUDIT, ENVELOPES, LIFECYCLE
from sinks.envelopes import Glancer
from sinks.postgresql.connection import Connection, connect, store_errors
from sinks.postgresql.copying import add_rows
from sinks.postgresql.envelopes import EnvelopeRows
from sinks.postgresql.fold import Fact, check_fact, fold_facts
from sinks.postgresql.logs import Logs, ReadTopicIds, no_topic_ids
from sinks.postgresql.places import read_places, write_places
from sinks.postgresql.rows import AVRO_ROWS, Row, Table, avro_row
from sinks.sink import Reject, SinkRecord

_REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
_ENVELOPES = frozenset(topic.name for topic in ENVELOPES)


class PostgresqlSink:
    """Writes to the database at `dsn`, which it migrates first. `read_topic_ids` says which logs the topics are now."""

    name = "postgresql"
    topics: tuple[str, ...] = (*sorted(_ENVELOPES), LIFECYCLE.name, ACTIVITY.name, ALERTS.name, AUDIT.name)

    def __init__(self, dsn: str, read_topic_ids: ReadTopicIds = no_topic_ids) -> None:
        self._dsn = dsn
        self._logs = Logs(read_topic_ids)
        self._connection: Connection | None = None
        self._glancer = Glancer()

    async def open(self) -> None:
        """Connect and migrate."""
        connection = await self._connected()
        with store_errors():
            await migrate(connection)
            await self._logs.learn(connection)

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """Store the batch in one transaction; a row that only the database refuses is found by halving."""
        if not batch:
            return []
        connection = await self._connected()
        try:
            with store_errors():
                if self._logs.goes_back(batch):
                    await self._logs.learn(connection)
                plan = Plan(batch, self._glancer, self._logs)
                async with connection.transaction():
                    rejects = await plan.store(connection)
                    await write_places(connection, batch)
        except (
            asyncpg.DataError,
            asyncpg.IntegrityConstraintViolationError,
            asyncpg.ProgramLimitExceededError,
        ) as error:
            if len(batch) == 1:
                with store_errors():
                    await write_places(connection, batch)
                return [Reject(batch[0], "rejected", f"{type(error).__name__} ({error.sqlstate})")]
            half = len(batch) // 2
            return [*await self.write(batch[:half]), *await self.write(batch[half:])]
        except UnavailableError:
            await self.close()
            raise
        self._logs.note(batch)
        return rejects

    async def places(self) -> Mapping[tuple[str, int], int]:
        """The next offset of each partition that the database knows, which may have gone back while it was away."""
        connection = await self._connected()
        with store_errors():
            return await read_places(connection)

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.is_closed():
            await self.close()
            raise UnavailableError("PostgreSQL ended the connection")
        if self._connection is None:
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
    """What a batch becomes in the database."""

    def __init__(self, batch: Sequence[SinkRecord], glancer: Glancer, logs: Logs) -> None:
        self._logs = logs
        self._rejects: list[Reject] = []
        self._rows: dict[str, tuple[Table, list[Row]]] = {}
        self._facts: list[Fact] = []
        envelopes: list[SinkRecord] = []
        for record in batch:
            if record.topic in _ENVELOPES:
                envelopes.append(record)
                continue
            try:
                self._add(record)
            except MalformedError as error:
                self._rejects.append(Reject(record, "malformed", str(error)))
        self._envelopes = EnvelopeRows(envelopes, glancer) if envelopes else None

    def _add(self, record: SinkRecord) -> None:
        if record.topic in AVRO_ROWS:
            table, row = avro_row(record, self._logs.id_of(record.topic))
            self._rows.setdefault(table.name, (table, []))[1].append(row)
        else:
            event = decode_record(record.value, "lifecycle_event")
            check_fact(event)
            self._facts.append((record, event))

    async def store(self, connection: Connection) -> list[Reject]:
        """Write all of it within the transaction at hand; what could not be read is rejected."""
        if self._envelopes is not None:
            await self._envelopes.store(connection)
        for table, rows in self._rows.values():
            await add_rows(connection, table, rows)
        if self._facts:
            await fold_facts(connection, self._facts, self._logs.id_of(LIFECYCLE.name))
        return self._rejects + (self._envelopes.rejects if self._envelopes is not None else [])
