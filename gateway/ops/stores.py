"""What the stores tell of themselves: sizes, gaps, alerts, what came in, how components stand, which KEKs are missing.

Never holds the event loop up: files are looked at in a thread, and each question is one query.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.api.times import from_ms, to_ms
from gateway.ops.picture import Alerts, ComponentRow, DayCount, GapRow, Gaps, History, Named
from gateway.recordings.timeline import hole_of
from infra.stack.wishes import TELL_AGAIN_S, is_stoppable
from sinks.elasticsearch.client import request

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

    from infra.settings import Settings
    from sinks.postgresql.connection import Connection

STEP_MS = 15_000
HISTORY_MS = 15 * 60_000
GAP_DAYS = 14
RECENT_GAPS = 12
STALE_S = 3 * TELL_AGAIN_S

_MISSING = """
SELECT file, node FROM (
    SELECT pub_datafile AS file FROM encryption_kek WHERE state IN ('active', 'opening')
    UNION SELECT priv_datafile FROM encryption_kek
    WHERE state IN ('active', 'opening') AND purpose = 'server' AND priv_datafile NOT LIKE '%:%'
) wanted
CROSS JOIN (SELECT DISTINCT node FROM node_kek WHERE told_at > now() - interval '1 min') nodes
WHERE NOT EXISTS (SELECT FROM node_kek h WHERE (h.node, h.file) = (nodes.node, wanted.file))
ORDER BY file, node"""

STOP_SAYS = {
    "streams-": "It finishes what it has in hand. Mining (OCR, text), activity, gaps and alerts go on in the other "
    "workers; if it is the last one, they wait. Recording goes on, and what comes waits in Kafka for up to 7 days.",
    "sinks-disk": "The archive takes nothing new. What comes waits in Kafka for up to 7 days: start it again before.",
    "sinks-postgresql": "Nothing new comes into PostgreSQL: timelines, reports, alerts, the audit and the counts here "
    "stand still. What comes waits in Kafka for up to 7 days; the audit waits there for good.",
    "sinks-elasticsearch": "Nothing new can be found by searching. What comes waits in Kafka for up to 7 days.",
}


@dataclass(frozen=True, slots=True)
class Tables:
    """What PostgreSQL is asked every few seconds."""

    gaps: Gaps
    alerts: Alerts
    components: list[ComponentRow]
    keks: list[tuple[str, str, str]]
    """Of usable KEKs: public file, private file, purpose."""
    keks_missing: list[tuple[str, str]]
    """Files of these, and the nodes that told lately that they have other ones."""
    acks: dict[str, dict[str, Any]]
    """What gateways told lately of how they acknowledge."""


class Arrivals:
    """What came in within the last quarter of an hour, by stream, in steps; read on from where it was."""

    def __init__(self) -> None:
        self._steps: dict[str, dict[int, tuple[int, int]]] = {}
        self._from_ms = 0

    @property
    def known(self) -> bool:
        """Whether it was ever read."""
        return bool(self._from_ms)

    async def read(self, connection: Connection, now_ms: int) -> None:
        """Ask for what is new since the last time, and for the steps that were not over then."""
        first = now_ms // STEP_MS * STEP_MS - HISTORY_MS
        since = max(first, self._from_ms - 4 * STEP_MS)
        rows = await connection.fetch(
            "SELECT stream, extract(epoch FROM date_bin('15 s', received_at, 'epoch'))::bigint AS at, "
            "count(*) AS envelopes, sum(bytes)::bigint AS bytes FROM envelope WHERE received_at >= $1 GROUP BY 1, 2",
            from_ms(since),
        )
        for steps in self._steps.values():
            for at in [at for at in steps if at < first or at >= since]:
                del steps[at]
        for row in rows:
            self._steps.setdefault(row["stream"], {})[row["at"] * 1000] = row["envelopes"], row["bytes"]
        self._from_ms = now_ms // STEP_MS * STEP_MS

    def history(self, stream: str) -> History:
        """All steps of a stream that are over, oldest first."""
        first = self._from_ms - HISTORY_MS
        steps = self._steps.get(stream, {})
        told = [steps.get(at, (0, 0)) for at in range(first, self._from_ms, STEP_MS)]
        return History(
            from_ms=first, step_ms=STEP_MS, envelopes=[one[0] for one in told], bytes=[one[1] for one in told]
        )

    def per_s(self, stream: str) -> float:
        """Envelopes a second, over the last minute that is over."""
        return sum(self.history(stream).envelopes[-4:]) / 60

    def bytes_per_s(self, stream: str) -> float:
        """Bytes a second, likewise."""
        return sum(self.history(stream).bytes[-4:]) / 60


async def read_tables(connection: Connection) -> Tables:
    """Gaps, alerts, components, KEKs."""
    since = datetime.now(UTC) - timedelta(days=GAP_DAYS)
    days = await connection.fetch(
        "SELECT (noticed_at AT TIME ZONE 'UTC')::date AS day, count(*) AS count, "
        "count(*) FILTER (WHERE noticed_at > now() - interval '1 day') AS fresh "
        "FROM gap WHERE noticed_at > $1 GROUP BY 1 ORDER BY 1",
        since,
    )
    recent = await connection.fetch(
        "SELECT g.agent_id, coalesce(a.user_name, '') AS person, coalesce(a.computer, '') AS computer, g.stream, "
        "g.reason, g.noticed_at, g.detail FROM gap g LEFT JOIN agent a USING (agent_id) "
        "WHERE g.noticed_at > $1 ORDER BY g.noticed_at DESC LIMIT $2",
        *(since, RECENT_GAPS),
    )
    alerts = await connection.fetchrow(
        "SELECT count(*) AS open, count(*) FILTER (WHERE severity = 'high') AS high FROM alert WHERE state = 'open'"
    )
    keks = await connection.fetch(
        "SELECT pub_datafile, coalesce(priv_datafile, '') AS private, purpose FROM encryption_kek "
        "WHERE state IN ('active', 'opening')"
    )
    missing = await connection.fetch(_MISSING)
    loads = await connection.fetch(
        "SELECT node_id, load FROM node_report WHERE told_at > now() - interval '30 s' AND load ? 'ack_p99_ms'"
    )
    assert alerts is not None
    return Tables(
        Gaps(
            last_day=sum(row["fresh"] for row in days),
            days=[DayCount(day=row["day"].isoformat(), count=row["count"]) for row in days],
            recent=[_gap(row) for row in recent],
        ),
        Alerts(open=alerts["open"], high=alerts["high"]),
        await read_components(connection),
        [(row["pub_datafile"], row["private"], row["purpose"]) for row in keks],
        [(row["file"], row["node"]) for row in missing],
        {row["node_id"]: json.loads(row["load"]) for row in loads},
    )


async def read_components(connection: Connection) -> list[ComponentRow]:
    """Every component of every node, with what is wished of it."""
    rows = await connection.fetch(
        "SELECT s.*, coalesce(w.wanted, 'running') AS wanted, coalesce(w.wished_by, '') AS wished_by, w.wished_at, "
        "s.told_at < now() - make_interval(secs => $1) AS stale "
        "FROM component_state s LEFT JOIN component_wish w USING (node_id, component) "
        "WHERE s.told_at > now() - interval '7 days' ORDER BY node_id, component",
        STALE_S,
    )
    return [_component(row) for row in rows]


async def read_archive(connection: Connection) -> dict[str, Any]:
    """Bytes of the archive by stream and by day, and of the database."""
    rows = await connection.fetch(
        "SELECT stream, day, sum(indexed_bytes)::bigint AS bytes FROM archive_file GROUP BY stream, day"
    )
    by_stream: dict[str, int] = {}
    by_day: dict[str, int] = {}
    for row in rows:
        by_stream[row["stream"]] = by_stream.get(row["stream"], 0) + row["bytes"]
        day = row["day"].isoformat()
        by_day[day] = by_day.get(day, 0) + row["bytes"]
    return {
        "archive_bytes": sum(by_stream.values()),
        "archive_streams": _named(sorted(by_stream.items(), key=lambda one: -one[1])),
        "archive_days": _named(sorted(by_day.items())[-GAP_DAYS:]),
        "postgresql_bytes": await connection.fetchval("SELECT pg_database_size(current_database())"),
    }


async def read_elasticsearch(client: AsyncElasticsearch, prefix: str) -> dict[str, Any]:
    """Bytes and documents of our indexes, and the cluster's health."""
    stats = await request(client, "GET", f"/{prefix}*/_stats/store,docs")
    health = await request(client, "GET", f"/_cluster/health/{prefix}*?timeout=2s")
    total = stats["_all"]["total"]
    return {
        "elasticsearch_bytes": total.get("store", {}).get("size_in_bytes", 0),
        "elasticsearch_documents": stats["_all"]["primaries"].get("docs", {}).get("count", 0),
        "elasticsearch_status": health["status"],
    }


async def read_disk(settings: Settings) -> dict[str, Any]:
    """The disk of the data directory, and Kafka's part of it where Kafka's data lie on this machine."""
    return await asyncio.to_thread(_read_disk, settings)


async def find_missing_keks(settings: Settings, tables: Tables) -> list[str]:
    """Files of usable KEKs that this node or another ought to have and has not, each with its node."""
    here = settings.node.id
    missing = await asyncio.to_thread(_missing, settings.keys.dir, tables.keks)
    elsewhere = [f"{name} on {node}" for name, node in tables.keks_missing if node != here]
    return [*(f"{name} on {here}" for name in missing), *elsewhere]


def _missing(folder: Path, keks: list[tuple[str, str, str]]) -> list[str]:
    wanted = [public for public, _, _ in keks]
    wanted += [private for _, private, purpose in keks if purpose == "server" and private and ":" not in private]
    return sorted(name for name in wanted if not (folder / name).exists())


def _read_disk(settings: Settings) -> dict[str, Any]:
    usage = shutil.disk_usage(settings.node.data_dir)
    kafka = settings.data.store("kafka")
    size = _size_of(kafka) if kafka.is_dir() else None
    return {"disk_free_bytes": usage.free, "disk_bytes": usage.total, "kafka_bytes": size}


def _size_of(folder: Path) -> int:
    """Bytes on the disk: Kafka's files are longer than what is in them."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                size += (Path(place) / name).stat(follow_symlinks=False).st_blocks * 512
            except OSError:
                continue  # Kafka has deleted it meanwhile
    return size


def _named(rows: list[tuple[str, int]]) -> list[Named]:
    return [Named(name=name, bytes=size) for name, size in rows]


def _gap(row: Mapping[str, Any]) -> GapRow:
    hole = hole_of(row)
    return GapRow(
        agent_id=str(row["agent_id"]),
        person=row["person"],
        computer=row["computer"],
        stream=row["stream"],
        reason=row["reason"],
        noticed_ms=to_ms(row["noticed_at"]),
        from_ms=hole.from_ms,
        until_ms=hole.until_ms,
    )


def _component(row: Mapping[str, Any]) -> ComponentRow:
    name = row["component"]
    return ComponentRow(
        node_id=row["node_id"],
        component=name,
        phase=row["phase"],
        detail=row["detail"],
        version=row["version"],
        address=row["address"],
        restarts=row["restarts"],
        since_ms=to_ms(row["since"]),
        told_ms=to_ms(row["told_at"]),
        stale=row["stale"],
        stoppable=is_stoppable(name),
        wanted=row["wanted"],
        wished_by=row["wished_by"],
        wished_ms=to_ms(row["wished_at"]) if row["wished_at"] else None,
        stop_says=next((says for begins, says in STOP_SAYS.items() if name.startswith(begins)), ""),
    )
