"""Servers of stores that several nodes keep, counted: by Sentinels' word, by etcd's, and by asking PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.servers import COUNTED, Count, are_several, count_etcd, count_postgresql, count_redis
from tests.infra.test_sentinels import AGAIN, DOWN, sentinels_that_say, settings_with

SECOND: dict[str, Any] = {}
THIRD = {"ip": "10.0.0.7"}
GONE = {**THIRD, "flags": "slave,s_down"}
BEHIND = {**THIRD, "master-link-status": "err"}
FIRST_BACK = {"ip": "10.0.0.5"}
WELL = {"replicas": [SECOND, THIRD]}


@pytest.mark.parametrize(
    ("says", "sentinel", "redis"),
    [
        ((WELL,) * 3, Count(3, 0), Count(3, 0)),
        (({"replicas": [SECOND, GONE]},) * 3, Count(3, 0), Count(2, 1)),
        (({"replicas": [SECOND, BEHIND]},) * 3, Count(3, 0), Count(2, 1)),
        (({**DOWN, **WELL},) * 3, Count(3, 0), Count(2, 1)),
        (({"replicas": [GONE]}, {**AGAIN, "replicas": [FIRST_BACK, THIRD]}, {}), Count(3, 0), Count(3, 0)),
        ((WELL, None, WELL), Count(2, 1), Count(3, 0)),
        ((None, None, None), Count(0, 3), None),
    ],
    ids=["well", "gone", "behind", "no primary", "the latest failover is believed", "one hangs", "all hang"],
)
async def test_sentinels_and_servers_of_redis_are_counted(
    tmp_path: Path, says: tuple[dict[str, Any] | None, ...], sentinel: Count, redis: Count | None
) -> None:
    """One that does not follow is away; where no Sentinel tells, nothing is said of servers."""
    async with sentinels_that_say(*says) as named:
        told = await count_redis(settings_with(tmp_path, redis=named.model_dump()))
    assert told == {"sentinel": sentinel, **({"redis": redis} if redis else {})}


@asynccontextmanager
async def etcds_that_say(*says: bytes) -> AsyncIterator[list[str]]:
    """Addresses of members of etcd on the loopback, each of which says that of its health."""

    async def answer(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        writer.close()

    servers = [
        await asyncio.start_server(lambda reader, writer, body=body: answer(body, reader, writer), "127.0.0.1", 0)
        for body in says
    ]
    try:
        yield [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]
    finally:
        for server in servers:
            server.close()


async def test_members_of_etcd_are_counted_where_this_node_may_ask(tmp_path: Path) -> None:
    """One without its majority says that it is not well; one that nobody hears is away; a gateway's node asks none."""
    async with etcds_that_say(b'{"health":"true"}', b'{"health":"false"}') as there:
        tables = {"postgresql": {"etcd": [*there, "http://127.0.0.1:1"]}}
        assert await count_etcd(settings_with(tmp_path, **tables)) == {"etcd": Count(1, 2)}
        assert await count_etcd(settings_with(tmp_path, roles=("app",), **tables)) == {}


async def test_servers_of_postgresql_that_do_not_answer_are_away(tmp_path: Path) -> None:
    """Those that answer: `tests/live/test_cluster_stores.py`."""
    (tmp_path / "word").write_text("word")
    dsn = "postgresql://sealstream@127.0.0.1:1,127.0.0.1:2/sealstream?target_session_attrs=read-write"
    settings = settings_with(tmp_path, postgresql={"dsn": dsn, "password_file": tmp_path / "word"})
    assert await count_postgresql(settings) == {"postgresql": Count(0, 2)}


async def test_a_store_that_is_one_server_is_not_counted(tmp_path: Path) -> None:
    """One Redis without Sentinels, one PostgreSQL without Patroni: nothing is asked, and nothing is shown."""
    settings = settings_with(tmp_path)
    assert [await count(settings) for count in COUNTED] == [{}, {}, {}]
    assert not are_several(settings)


@pytest.mark.parametrize(
    "tables",
    [
        {"redis": {"sentinels": ["10.0.0.5"]}},
        {"postgresql": {"etcd": ["https://10.0.0.5:2379"]}},
        {"postgresql": {"dsn": "postgresql://sealstream@10.0.0.5,10.0.0.6/sealstream"}},
    ],
)
def test_there_is_something_to_count_where_one_store_is_several(tmp_path: Path, tables: dict[str, Any]) -> None:
    """Each by itself."""
    assert are_several(settings_with(tmp_path, **tables))
