"""The canary search of a whole stack: files, memories of all server processes, and what the stores give back.

Never changes anything: it reads as an attacker would who has every server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from infra.demo.canary import Needle, Search, family, search_files, search_memory, search_values, secret_needles
from infra.reading import Stretch, read_records
from infra.settings import Settings, postgresql_dsn
from schemas.errors import ConfigError, SealstreamError
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from schemas.keys import Identity

_NEWEST = 5000
"""Records of each partition, rows of each table and documents that are looked at as the stores give them back."""


async def inspect_stack(
    settings: Settings, pids: Iterable[int], needles: Sequence[Needle], *, leave: Iterable[Path] = ()
) -> Search:
    """Everything that the servers have; `leave` names what is not theirs."""
    search = Search()
    for topic in TOPICS:
        values = [value async for value in _topic_values(settings, topic)]
        search_values(search, values, needles, f"records of {topic}")
    search_values(search, await _rows(settings), needles, "rows of PostgreSQL")
    search_values(search, await _documents(settings), needles, "documents of Elasticsearch")
    await asyncio.to_thread(search_files, search, settings.data.root, needles, leave=leave)
    for pid, name in family(pids).items():
        await asyncio.to_thread(search_memory, search, pid, needles, name)
    return search


def epoch_needles(archive: Path, agent_id: bytes, identity: Identity) -> list[Needle]:
    """The DEK of every epoch of that agent that is sealed to `identity`."""
    from schemas.envelope import parse_epoch_header
    from schemas.opening import unwrap_epoch
    from sinks.archive.headers import HeaderStore
    from sinks.archive.layout import Layout

    layout = Layout(archive)
    store, found = HeaderStore(layout), []
    for day in sorted(path.name for path in layout.keys.iterdir() if path.is_dir()):
        for headers in store.day(agent_id, day).headers.values():
            epoch = parse_epoch_header(headers[-1])
            if identity.key_id in epoch.key_ids:
                found += secret_needles("DEK", unwrap_epoch(epoch, {identity.key_id: identity}).dek)
    return found


async def _topic_values(settings: Settings, topic: str) -> AsyncIterator[bytes]:
    try:
        async with aclosing(read_records(settings, topic, Stretch(last=_NEWEST))) as records:  # type: ignore[type-var]
            async for record in records:
                yield record.value or b""
    except ConfigError:
        return  # a topic that was never made


async def _rows(settings: Settings) -> list[bytes]:
    from infra.postgresql import connect

    connection = await connect(postgresql_dsn(settings))
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [
            row["text"].encode()
            for table in tables
            for row in await connection.fetch(
                f'SELECT to_jsonb(t)::text AS text FROM "{table["tablename"]}" t LIMIT {_NEWEST}'  # noqa: S608
            )
        ]
    finally:
        await connection.close()


async def _documents(settings: Settings) -> list[bytes]:
    from sinks.elasticsearch.client import connect

    client = connect(settings.elasticsearch)
    try:
        found = await client.search(index=f"{settings.elasticsearch.index_prefix}-*", size=_NEWEST, sort="_doc")
        return [json.dumps(hit["_source"], ensure_ascii=False).encode() for hit in found["hits"]["hits"]]
    except SealstreamError:
        return []
    finally:
        await client.close()
