"""Adding rows in bulk: COPY into the table, and where some are there already, COPY beside it and merge.

Never changes a row that is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from sinks.postgresql.connection import Connection
from sinks.postgresql.rows import Row, Table


async def add_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add `rows` within the transaction at hand, except those whose key is there."""
    try:
        async with connection.transaction():
            # Most batches are new: straight into the table is half as dear again as by a staging table.
            await connection.copy_records_to_table(table.name, records=rows, columns=table.columns)
    except asyncpg.UniqueViolationError:
        await _merge_rows(connection, table, rows)


async def _merge_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    staging = f"staging_{table.name}"
    await connection.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE {table.name} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
    )
    await connection.execute(f"TRUNCATE {staging}")
    await connection.copy_records_to_table(staging, records=rows, columns=table.columns)
    await connection.execute(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {staging} ON CONFLICT ({key}) DO NOTHING"  # noqa: S608
    )
