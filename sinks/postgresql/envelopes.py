"""Envelopes as rows of the table `envelope`, in COPY's binary form: the one table that grows with every segment.

Never makes an object of what is only copied: this is a sixth of the cost of rows of Python values.
https://www.postgresql.org/docs/15/sql-copy.html (Binary Format)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from struct import Struct
from uuid import UUID

import asyncpg

from schemas.envelope import EpochFlags, EpochHeader
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from sinks.envelopes import MAX_TIME_MS, Glancer
from sinks.postgresql.connection import Connection
from sinks.postgresql.rows import check_time, text, timestamp
from sinks.sink import Reject, SinkRecord

COLUMNS = (
    "agent_id",
    "epoch_id",
    "sequence",
    "stream",
    "captured_at",
    "received_at",
    "bytes",
    "end_to_end",
    "kafka_partition",
    "kafka_offset",
)
HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL = b"\xff\xff"

_PIECE_ROWS = 500
_EPOCH_2000_MS = 946_684_800_000
_END_TO_END = EpochFlags.END_TO_END

_SEEN = """
INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (agent_id) DO UPDATE SET first_seen_at = least(agent.first_seen_at, EXCLUDED.first_seen_at),
last_seen_at = greatest(agent.last_seen_at, EXCLUDED.last_seen_at)"""

# A row is ten fields, each its length and its value. What an epoch's rows have in common is made once for each epoch.
_IDS = Struct(">hi16si32si")
_SEQUENCE = Struct(">q")
_REST = Struct(">qiqiii?iiiq")


def _begin_row(epoch: EpochHeader) -> bytes:
    return _IDS.pack(len(COLUMNS), 16, epoch.agent_id, 32, epoch.epoch_id, 8)


def _stream(kind: StreamKind) -> bytes:
    """The stream's name as a field, and the length of the field after it."""
    label = kind.label.encode()
    return len(label).to_bytes(4, "big") + label + (8).to_bytes(4, "big")


_STREAMS = {kind: _stream(kind) for kind in StreamKind}


class EnvelopeRows:
    """The envelopes of one batch. `rejects` and who was seen are known when all pieces were made."""

    def __init__(self, records: Sequence[SinkRecord], glancer: Glancer) -> None:
        self.rejects: list[Reject] = []
        self._glancer = glancer
        self._seen: dict[bytes, tuple[SinkRecord, int, int]] = {}
        self._begins: dict[bytes, tuple[EpochHeader, bytes, bool]] = {}
        self._made: list[bytes] = []
        self._coming = self._make(records)

    async def store(self, connection: Connection) -> None:
        """Add the rows within the transaction at hand, except those that are there; note their agents."""
        try:
            async with connection.transaction():
                # Most batches are new, and straight into the table costs two thirds of the way by a staging table.
                await connection.copy_to_table("envelope", source=self._pieces(), columns=COLUMNS, format="binary")
        except asyncpg.UniqueViolationError:
            await self._merge(connection)
        if self._seen:
            await connection.execute(_SEEN, *map(list, zip(*self._agents(), strict=True)))

    async def _merge(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS staging_envelope (LIKE envelope) ON COMMIT DELETE ROWS"
        )
        await connection.execute("TRUNCATE staging_envelope")
        await connection.copy_to_table("staging_envelope", source=self._pieces(), columns=COLUMNS, format="binary")
        await connection.execute("INSERT INTO envelope SELECT * FROM staging_envelope ON CONFLICT DO NOTHING")

    async def _pieces(self) -> AsyncIterator[bytes]:
        """What COPY reads: rows are made while the server is busy with those before."""
        yield HEAD
        for piece in list(self._made):
            yield piece
        for piece in self._coming:
            self._made.append(piece)
            yield piece
            await asyncio.sleep(0)  # only now is it sent
        yield TAIL

    def _make(self, records: Sequence[SinkRecord]) -> Iterator[bytes]:
        for first in range(0, len(records), _PIECE_ROWS):
            rows: list[bytes] = []
            for record in records[first : first + _PIECE_ROWS]:
                try:
                    rows.append(self._pack(record))
                except MalformedError as error:
                    self.rejects.append(Reject(record, "malformed", str(error)))
            yield b"".join(rows)

    def _pack(self, record: SinkRecord) -> bytes:
        glance = self._glancer.glance(record.value)
        epoch, received_ms = glance.epoch, record.timestamp_ms
        if not 0 <= received_ms <= MAX_TIME_MS:
            check_time(received_ms)
        agent_id = epoch.agent_id
        seen = self._seen.get(agent_id)
        if seen is None:
            self._seen[agent_id] = (record, received_ms, received_ms)
        elif not seen[1] <= received_ms <= seen[2]:
            self._seen[agent_id] = (seen[0], min(seen[1], received_ms), max(seen[2], received_ms))
        known = self._begins.get(epoch.epoch_id)
        if known is None or known[0] is not epoch:
            known = self._begins[epoch.epoch_id] = epoch, _begin_row(epoch), epoch.flags & _END_TO_END != 0
        return (
            known[1]
            + _SEQUENCE.pack(glance.sequence)
            + _STREAMS[glance.kind]
            + _REST.pack(
                (glance.capture_ms - _EPOCH_2000_MS) * 1000, 8, (received_ms - _EPOCH_2000_MS) * 1000,
                4, len(record.value), 1, known[2], 4, record.partition, 8, record.offset,
            )
        )  # fmt: skip

    def _agents(self) -> Iterator[tuple[UUID, str, str, datetime, datetime]]:
        for agent_id, (record, first_ms, last_ms) in sorted(self._seen.items()):
            told = dict(record.headers)
            user, computer = (text((told.get(name) or b"").decode("utf-8", "replace")) for name in ("user", "computer"))
            yield UUID(bytes=agent_id), user, computer, timestamp(first_ms), timestamp(last_ms)
