"""How far the sink's records are in the database, by the database's own word.

Never written but in the transaction that stores the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sinks.postgresql.connection import Connection
from sinks.sink import SinkRecord

_READ = "SELECT topic, partition, next_offset FROM sink_place"
_WRITE = """
INSERT INTO sink_place (topic, partition, next_offset) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset"""


async def read_places(connection: Connection) -> Mapping[tuple[str, int], int]:
    """The next offset of each partition, by topic (without prefix) and number."""
    return {(row["topic"], row["partition"]): row["next_offset"] for row in await connection.fetch(_READ)}


async def write_places(connection: Connection, batch: Sequence[SinkRecord]) -> None:
    """What comes after this batch, whose partitions are each in order."""
    places = {(record.topic, record.partition): record.offset for record in batch}
    topics, partitions = zip(*places, strict=True)
    await connection.execute(_WRITE, topics, partitions, [offset + 1 for offset in places.values()])
