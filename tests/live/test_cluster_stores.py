"""Stores on several nodes: what goes on when one of them dies, and what comes back with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from infra import approved, kafka, pki
from infra.backup.database import dump_database
from infra.copies import grow_topics, read_copies
from infra.databases import list_servers, promote
from infra.doctor.stores import check_kafka_copies
from infra.postgresql import connect
from infra.servers import Count, count_postgresql
from infra.settings import Settings, postgresql_dsn
from infra.stack.account import find_account
from infra.stack.artifacts import fetch_artifacts
from infra.stack.java import find_java
from infra.stack.kafka import kafka_component
from infra.stack.ports import choose_port
from infra.stack.postgresql import postgresql_component
from schemas.errors import ConfigError, UnavailableError
from schemas.topics import TOPICS
from sinks.postgresql.sink import PostgresqlSink
from tests.live.store_node import SETTLED_S, StoreNode, node_settings, store_root, tell, until  # noqa: F401  # a fixture

pytestmark = [pytest.mark.live, pytest.mark.slow]

_HEAP_MB = 256
_TOPIC = "envelopes.screen"


def broker_nodes(root: Path) -> list[StoreNode]:
    """Three brokers on the loopback, each a controller too."""
    pki.make_ca(root / "pki")
    java, account = find_java(), find_account()
    artifacts = fetch_artifacts(java, lambda _: None)
    ports: list[int] = []
    while len(ports) < 6:
        ports.append(choose_port("broker", ports))
    listens = [f"127.0.0.1:{port}" for port in ports[:3]]
    cluster = {
        "bootstrap": ",".join(listens),
        "controllers": [f"{number}@127.0.0.1:{port}" for number, port in enumerate(ports[3:], 1)],
        "partitions": 3,
    }
    nodes = []
    for number, listen in enumerate(listens, 1):
        settings = node_settings(root, number, kafka={**cluster, "node_id": number, "listen": listen})
        nodes.append(StoreNode(settings, kafka_component(settings, java, artifacts, _HEAP_MB, account)))
    return nodes


@pytest.fixture
async def brokers(root: Path) -> AsyncIterator[list[StoreNode]]:
    nodes = broker_nodes(root)
    await asyncio.gather(*(node.launch() for node in nodes))
    await asyncio.gather(*(node.until_ready() for node in nodes))
    yield nodes
    await asyncio.gather(*(node.kill() for node in nodes))


async def describe(settings: Settings, topic: str = _TOPIC) -> list[dict[str, Any]]:
    client = kafka.admin(settings)
    try:
        await client.start()
        (found,) = await client.describe_topics([topic])
    finally:
        await client.close()
    partitions: list[dict[str, Any]] = found["partitions"]
    return partitions


async def test_a_dead_broker_stops_nobody(brokers: list[StoreNode]) -> None:
    """Topics have three replicas; what is produced meanwhile is acknowledged by two; it comes back in sync."""
    settings = brokers[0].settings
    await asyncio.gather(*(node.component.finish() for node in brokers))
    assert {it.replicas for it in await read_copies(settings) if it.topic in TOPICS} == {3}
    await grow_old_topics(settings)
    sending = kafka.producer(settings)
    await sending.start()
    try:
        leader = next(it["leader"] for it in await describe(settings) if it["partition"] == 0)
        await sending.send_and_wait(_TOPIC, b"before", partition=0)
        assert await read_all(settings) == [b"before"]
        began = time.monotonic()
        await brokers[leader - 1].kill()
        await asyncio.wait_for(sending.send_and_wait(_TOPIC, b"meanwhile", partition=0), SETTLED_S)
        tell("acknowledged_after_a_leader_died", began)
        assert await read_all(settings) == [b"before", b"meanwhile"], "a group reads on too"
        tell("read_after_a_leader_died", began)

        async def moved() -> bool:
            return all(leader not in it["isr"] and it["leader"] != leader for it in await describe(settings))

        await until("other leaders", moved)
        tell("all_partitions_led_elsewhere", began)
        assert await kafka.ensure_topics(settings) == []
        with pytest.raises(UnavailableError, match="not in sync"):
            await check_kafka_copies(settings)
        began = time.monotonic()
        await brokers[leader - 1].start()
        tell("broker_serves_again", began)

        async def in_sync() -> bool:
            return all(it.in_sync == 3 for it in await read_copies(settings))

        await until("three replicas in sync", in_sync)
        tell("three_replicas_in_sync", began)
    finally:
        await sending.stop()


async def grow_old_topics(settings: Settings) -> None:
    """Topics of the time when there was one broker are told of, and get more replicas."""
    past = settings.kafka.model_copy(update={"topic_prefix": "past-", "replication": 1, "min_insync": 1})
    assert await kafka.ensure_topics(settings.model_copy(update={"kafka": past}))
    grown = settings.model_copy(update={"kafka": past.model_copy(update={"replication": 0, "min_insync": 0})})

    async def known() -> bool:
        seen = [await read_copies(grown) for _ in range(6)]  # each asks one broker at random
        return all({it.topic for it in copies} >= set(TOPICS) for copies in seen)

    await until("every broker knows the topics", known)
    with pytest.raises(ConfigError, match="sealstream topic grow"):
        await check_kafka_copies(grown)
    assert set(await grow_topics(grown, within_s=SETTLED_S)) == set(TOPICS)
    assert await grow_topics(grown, within_s=SETTLED_S) == []
    assert "all in sync" in await check_kafka_copies(grown)


async def read_all(settings: Settings) -> list[bytes]:
    """What a new group reads of partition 0, and that it can say so."""
    reading = kafka.consumer(settings, f"test-{time.monotonic_ns()}", _TOPIC)
    await reading.start()
    try:
        places = [it for it in reading.assignment() if it.partition == 0]
        found = [record.value async for record in _records(reading, (await reading.end_offsets(places))[places[0]])]
        await reading.commit()
    finally:
        await reading.stop()
    return found


async def _records(reading: Any, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await asyncio.wait_for(reading.getone(), SETTLED_S)


@pytest.fixture
async def databases(root: Path) -> AsyncIterator[list[StoreNode]]:
    """A primary and its standby."""
    pki.make_ca(root / "pki")
    (root / "secrets").mkdir()
    for name in ("postgresql.password", "postgresql-replication.password"):
        (root / "secrets" / name).write_text(f"{name}:it's\\\n")
    ports = [choose_port("postgresql")]
    ports.append(choose_port("postgresql", ports))
    dsn = f"postgresql://sealstream@{','.join(f'127.0.0.1:{port}' for port in ports)}/sealstream"
    nodes = []
    files = {
        "password_file": root / "secrets/postgresql.password",
        "replication_password_file": root / "secrets/postgresql-replication.password",
    }
    for number, port in enumerate(ports, 1):
        settings = node_settings(root, number, postgresql={"dsn": dsn, "listen": f"127.0.0.1:{port}", **files})
        nodes.append(StoreNode(settings, postgresql_component(settings, find_account())))
    for node in nodes:
        await node.start()
        await node.component.finish()
    yield nodes
    await asyncio.gather(*(node.kill() for node in nodes))


async def add_note(settings: Settings, network: str) -> None:
    """As the product's own processes do, by the address with both servers."""
    connection = await approved.connect(settings)
    await connection.execute("INSERT INTO approved_node (network) VALUES ($1::text::cidr)", network)
    await connection.close()


async def notes(settings: Settings) -> set[str]:
    connection = await approved.connect(settings)
    found = await connection.fetch("SELECT network::text FROM approved_node")
    await connection.close()
    return {row[0] for row in found}


async def until_counted(settings: Settings, count: Count) -> None:
    """The metric's figures are these: servers that are a primary or follow one, and others."""

    async def counted() -> bool:
        return await count_postgresql(settings) == {"postgresql": count}

    await until(f"{count} to be seen", counted)


async def test_a_promoted_standby_takes_over(root: Path, databases: list[StoreNode]) -> None:
    """Rows are there, new ones go to it by the same address, and the old primary comes back as its standby."""
    old, new = databases
    await add_note(old.settings, "10.0.0.0/24")
    dsn = postgresql_dsn(old.settings)
    sink = PostgresqlSink(dsn)
    await sink.open()
    pool = await asyncpg.create_pool(dsn, connect=connect, min_size=0)  # type: ignore[call-overload]
    assert await pool.fetchval("SELECT count(*) FROM approved_node") == 1
    servers, followers = await list_servers(new.settings)
    assert [it.role for it in servers] == ["primary", "standby"]
    assert [it.name for it in followers] == ["node-2"]
    with pytest.raises(ConfigError, match="stop it first"):
        await promote(new.settings)

    async def followed() -> bool:
        return (await list_servers(new.settings))[1][0].behind_bytes == 0

    await until("the standby has it", followed)
    await until_counted(new.settings, Count(2, 0))
    await old.kill()
    await until_counted(new.settings, Count(0, 2))
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="no server of"):
        await approved.connect(old.settings)
    done = await promote(new.settings)
    await add_note(old.settings, "10.0.1.0/24")
    tell("standby_promoted_and_written_to", began)
    assert done.timeline == 2
    await until_counted(new.settings, Count(1, 1))
    assert await pool.fetchval("SELECT count(*) FROM approved_node") == 2, "a pool finds it"
    await pool.close()
    with pytest.raises(UnavailableError, match="ended the connection"):
        await sink.places()  # so that the loop looks how far this database is
    assert await sink.places() == {}
    await sink.close()
    assert (await dump_database(dsn, root / "dump"))["public.approved_node"] == 2, "and so does pg_dump"
    assert await notes(new.settings) == {"10.0.0.0/24", "10.0.1.0/24"}
    began = time.monotonic()
    await old.start()
    tell("old_primary_follows", began)
    assert [it.role for it in (await list_servers(old.settings))[0]] == ["standby", "primary"]
    await until_counted(old.settings, Count(2, 0))
    assert list(old.settings.data.store("postgresql").glob("replaced-*")), "its own data is kept"
    await new.kill()
    await new.start()
    assert await notes(old.settings) == {"10.0.0.0/24", "10.0.1.0/24"}
