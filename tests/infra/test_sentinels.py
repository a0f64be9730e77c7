"""Redis on several nodes: what the settings mean, what Sentinels are told and keep, and whose word is believed."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.approved import Approval
from infra.cluster import Address, own_redis, own_sentinel
from infra.doctor.contradictions import find_contradictions
from infra.doctor.sentinels import check_sentinels
from infra.nodes.site import Site
from infra.render import nftables, redis, sentinel
from infra.render.nodes import node_ports
from infra.sentinels import find_primary
from infra.settings import NodeSettings, RedisSettings, Settings
from infra.stack.redis import SECRET, redis_component
from infra.stack.redis_primary import choose_primary, sentinel_file
from infra.stack.roles import stores_of
from infra.stack.sentinel import sentinel_component
from schemas.errors import ConfigError, UnavailableError

THREE = ["10.0.0.5:26379", "10.0.0.6", "10.0.0.7:26380"]
FIRST, OTHER = Address("10.0.0.5", 6379), Address("10.0.0.6", 6379)
KEPT = """\
bind 127.0.0.1 -::1 10.0.0.6
user default on nopass ~* &* +@all
sentinel myid 1f0c0e9d
sentinel monitor sealstream 10.0.0.6 6379 2
sentinel down-after-milliseconds sealstream 9
sentinel config-epoch sealstream 4
sentinel leader-epoch sealstream 5
sentinel known-replica sealstream 10.0.0.5 6379
sentinel known-sentinel sealstream 10.0.0.5 26379 aa11
sentinel known-sentinel sealstream 10.0.0.99 26379 bb22
sentinel config-epoch another 7
sentinel current-epoch 5
"""


def settings_with(root: Path = Path("/nowhere"), roles: tuple[str, ...] = ("master",), **tables: Any) -> Settings:
    node: dict[str, Any] = {"data_dir": root, "id": "node-2", "roles": list(roles)}
    return Settings(node=NodeSettings(**node), **{name: values for name, values in tables.items() if values})


def three(root: Path, **more: Any) -> Settings:
    """The second of three masters, with a password."""
    (root / "word").write_text('a "word"\n')
    own = {"url": "redis://10.0.0.5:6379/0", "sentinels": THREE, "listen": "10.0.0.6:6379"}
    return settings_with(root, redis={**own, "password_file": root / "word", **more})


def test_one_redis_is_what_it_was(tmp_path: Path) -> None:
    """No Sentinel, no port of one, and nothing of following."""
    settings = settings_with(tmp_path)
    assert "redis-sentinel" not in stores_of(settings)
    assert "redis sentinels" not in node_ports(settings)
    assert "replica" not in redis.render(settings, Approval())


def test_each_master_has_a_server_and_a_sentinel_of_its_own(tmp_path: Path) -> None:
    """By the address of its own; nftables knows both ports, and a master that runs no Redis has neither."""
    settings = three(tmp_path)
    assert stores_of(settings) >= {"redis", "redis-sentinel"}
    assert (own_redis(settings), own_sentinel(settings)) == (OTHER, Address("10.0.0.6", 26379))
    assert "26379" in nftables.render(settings, Approval())
    assert "replica-announce-ip 10.0.0.6\n" in redis.render(settings, Approval())
    elsewhere = settings.model_copy(update={"node": settings.node.model_copy(update={"external": ["redis"]})})
    assert not {"redis", "redis-sentinel"} & stores_of(elsewhere)
    with pytest.raises(ConfigError, match=r"none on 10\.0\.0\.8"):
        own_sentinel(three(tmp_path, listen="10.0.0.8:6379"))
    assert own_sentinel(three(tmp_path, sentinel_listen="10.0.0.9:1")) == Address("10.0.0.9", 1)
    with pytest.raises(ConfigError, match="wants a password"):
        sentinel_component(three(tmp_path, password_file=tmp_path / "none"), None)


def test_a_sentinel_is_told_all_and_keeps_what_it_learnt(tmp_path: Path) -> None:
    """The settings hold for what they say; of the rest nothing is lost, but a Sentinel that they name no more."""
    settings = three(tmp_path)
    fresh = sentinel.render(settings, tmp_path, FIRST).splitlines()
    assert "sentinel monitor sealstream 10.0.0.5 6379 2" in fresh
    assert 'sentinel auth-pass sealstream "a \\"word\\""' in fresh
    assert 'requirepass "a \\"word\\""' in fresh
    assert "bind 127.0.0.1 -::1 10.0.0.6" in fresh
    assert not any("epoch" in line or "known" in line for line in fresh)
    assert "sentinel down-after-milliseconds sealstream 3500" in fresh, "later than the first, sooner than the third"

    again = sentinel.render(settings, tmp_path, OTHER, KEPT).splitlines()
    assert [line for line in again if line not in fresh] == [
        "sentinel monitor sealstream 10.0.0.6 6379 2",
        "sentinel myid 1f0c0e9d",
        "sentinel config-epoch sealstream 4",
        "sentinel leader-epoch sealstream 5",
        "sentinel known-replica sealstream 10.0.0.5 6379",
        "sentinel known-sentinel sealstream 10.0.0.5 26379 aa11",
        "sentinel current-epoch 5",
    ]
    assert sentinel.remembered(settings.redis, KEPT) == OTHER
    assert sentinel.remembered(three(tmp_path, service="another").redis, KEPT) is None


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"sentinels": THREE[:1]}, "names 1: more than half"),
        ({"sentinels": [*THREE, "10.0.0.8"]}, "names 4: of 3 as many"),
        ({"url": "redis://127.0.0.1:6379/0"}, "no one password fits"),
        ({"listen": "10.0.0.8:6379"}, "set redis.listen"),
        ({"sentinel_listen": "10.0.0.6:1"}, "does not name 10.0.0.6:1"),
        ({"sentinels": []}, "but all look for Redis at redis.url"),
    ],
)
def test_sentinels_that_cannot_work_are_told(tmp_path: Path, tables: dict[str, Any], told: str) -> None:
    """Each by itself; three of them with a server on each node are well."""
    assert not [it for it in find_contradictions(three(tmp_path)) if "redis" in it]
    assert [it for it in find_contradictions(three(tmp_path, **tables)) if told in it]


@pytest.mark.parametrize(("masters", "servers"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5)])
def test_a_site_has_a_redis_on_an_odd_number_of_masters(masters: int, servers: int) -> None:
    """All nodes know all Sentinels; two masters have one Redis, since one Sentinel of two promotes nobody."""
    rows = [f'[nodes.m-{it}]\naddress = "10.2.0.{it}"\nroles = ["master"]\n' for it in range(1, masters + 1)]
    rest = '[nodes.rest]\naddress = "10.2.0.9"\nroles = ["app", "miner", "db", "mining-db"]\n'
    site = Site.model_validate(tomllib.loads('archive = "/srv/archive"\n' + "".join(rows) + rest))
    tables = {name: site.settings_of(name) for name in site.nodes}
    named = [f"10.2.0.{it}:26379" for it in range(1, servers + 1)] if servers > 1 else None
    assert all(it["redis"].get("sentinels") == named for it in tables.values())
    assert all(it["redis"]["url"] == "redis://10.2.0.1:6379/0" for it in tables.values())
    running = [name for name in site.having("master") if "redis" not in tables[name]["node"].get("external", [])]
    assert running == [f"m-{it}" for it in range(1, servers + 1)]
    assert [tables[name]["redis"].get("listen") for name in running] == (
        [f"10.2.0.{it}:6379" for it in range(1, servers + 1)] if servers > 1 else [None]
    )


USUAL = {"ip": "10.0.0.5", "port": 6379, "flags": "master", "config-epoch": 0, "num-other-sentinels": 2}
AGAIN = {"ip": "10.0.0.6", "config-epoch": 1}
DOWN = {"flags": "master,s_down,o_down"}
REPLICA = {"ip": "10.0.0.6", "port": 6379, "flags": "slave", "master-link-status": "ok"}


@asynccontextmanager
async def sentinels_that_say(*says: dict[str, Any] | None) -> AsyncIterator[RedisSettings]:
    """A Sentinel on the loopback for each, which says that of the primary, and of `replicas`; None: it hangs."""
    servers = [await asyncio.start_server(_answering(fields), "127.0.0.1", 0) for fields in says]
    named = [f"127.0.0.1:{it.sockets[0].getsockname()[1]}" for it in servers]
    try:
        yield RedisSettings(sentinels=named)
    finally:
        for server in servers:
            server.close()


def _answering(fields: dict[str, Any] | None) -> Any:
    primary = USUAL | (fields or {})
    replicas = [REPLICA | one for one in primary.pop("replicas", [{}])]
    rows = {
        b"MASTER": _array([word for pair in primary.items() for word in pair]),
        b"REPLICAS": b"*%d\r\n" % len(replicas)
        + b"".join(_array([word for pair in replica.items() for word in pair]) for replica in replicas),
        b"SETINFO": b"+OK\r\n",
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            word = line.strip()
            if fields is not None and word in rows:
                writer.write(rows[word])
        writer.close()

    return answer


def _array(words: list[Any]) -> bytes:
    texts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


async def test_the_latest_failover_is_believed_and_nobody_waits_for_one_that_hangs() -> None:
    """A Sentinel that was away says what was; more than half have said more."""
    async with sentinels_that_say({}, None, AGAIN) as settings:
        async with asyncio.timeout(1.5):
            assert await find_primary(settings) == OTHER
    async with sentinels_that_say(DOWN, {}, {}) as settings:
        assert await find_primary(settings) == FIRST, "one of two may have missed an answer"
    async with sentinels_that_say(DOWN, DOWN, DOWN) as settings:
        with pytest.raises(UnavailableError, match=r"10\.0\.0\.5:6379 is down"):
            await find_primary(settings)
    with pytest.raises(UnavailableError, match="tells who is primary"):
        await find_primary(settings)


async def test_the_doctor_tells_of_sentinels(tmp_path: Path) -> None:
    """Well; in two minds; alone; away."""
    async with sentinels_that_say({}, {}, {}) as named:
        told = await check_sentinels(settings_with(tmp_path, redis=named.model_dump()))
        assert told == "10.0.0.5:6379 is primary by 3 Sentinels, followed by 10.0.0.6:6379"
    for says, fault in (
        (({}, AGAIN, AGAIN), "different primaries, 10.0.0.6:6379 and 10.0.0.5:6379"),
        (({}, {"num-other-sentinels": 0}, {}), "knows 0 others of 2"),
        ((DOWN, DOWN, DOWN), "is down, and no other is chosen"),
    ):
        async with sentinels_that_say(*says) as named:
            with pytest.raises((ConfigError, UnavailableError), match=fault):
                await check_sentinels(settings_with(tmp_path, redis=named.model_dump()))
    with pytest.raises(UnavailableError, match="the 0 others cannot promote"):
        await check_sentinels(settings_with(tmp_path, redis=named.model_dump()))


async def test_a_server_that_starts_follows_whom_the_sentinels_name(tmp_path: Path) -> None:
    """Else whom its node's Sentinel knew last; at the very first `redis.url`."""
    gone = three(tmp_path, sentinels=["127.0.0.1:1"])
    assert await choose_primary(gone) == FIRST
    sentinel_file(gone).parent.mkdir()
    sentinel_file(gone).write_text(KEPT)
    assert await choose_primary(gone) == OTHER
    async with sentinels_that_say({"ip": "10.0.0.7", "config-epoch": 9}, AGAIN, {}) as named:
        named_with_one_that_is_away = ["127.0.0.1:1", *named.sentinels]
        settings = three(
            tmp_path, sentinels=named_with_one_that_is_away, url="redis://127.0.0.1:6379/0", listen="127.0.0.1:6379"
        )
        assert await choose_primary(settings) == Address("10.0.0.7", 6379)
        await redis_component(settings, None).prepare()
        assert "replicaof 10.0.0.7 6379\n" in (settings.data.store("redis") / SECRET).read_text()
