"""A cluster of three Elasticsearch nodes whose master dies: documents are taken and found, and it comes back in sync.

Needs neither namespaces nor root: three nodes on loopback addresses, each with a directory of its own and half a
gigabyte of heap.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra import pki
from infra.settings import Settings
from infra.stack.account import find_account
from infra.stack.artifacts import fetch_artifacts
from infra.stack.elasticsearch import ADMIN_PASSWORD, CERTIFICATE, elasticsearch_component
from infra.stack.java import find_java
from infra.stack.ports import choose_port
from schemas.errors import UnavailableError
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from tests.live.store_node import StoreNode, node_settings, store_root, tell, until  # noqa: F401  # a fixture
from tests.live.test_stores import document

pytestmark = [pytest.mark.chaos, pytest.mark.live]

HEAP_MB = 512
PATIENCE_S = 600.0
"""A node starts within half a minute, three on two busy cores within minutes."""

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""A node is known by its host: each has an address of its own."""


def search_nodes(root: Path) -> list[StoreNode]:
    """Three nodes that choose their first master together; all of them are named in `elasticsearch.url`."""
    pki.make_ca(root / "pki")
    pki.issue(root / "pki", CERTIFICATE, server=True, hosts=HOSTS)
    java, account = find_java(), find_account()
    artifacts = fetch_artifacts(java, lambda _: None)
    password = root / "elasticsearch.password"
    password.write_text(secrets.token_urlsafe(16))
    ports = [choose_port("search")]
    ports.append(choose_port("search", ports))
    http, transport = ports
    cluster = {
        "url": ",".join(f"https://{host}:{http}" for host in HOSTS),
        "seeds": [f"{host}:{transport}" for host in HOSTS],
        "masters": [f"node-{number}" for number in range(1, 4)],
        "ca_file": root / "pki/ca.pem",
        "password_file": password,
    }
    nodes = []
    for number, host in enumerate(HOSTS, 1):
        settings = node_settings(root, number, elasticsearch={**cluster, "listen": f"{host}:{http}"})
        settings.data.secrets.mkdir(exist_ok=True)
        (settings.data.secrets / ADMIN_PASSWORD).write_text(secrets.token_urlsafe(16))
        component = elasticsearch_component(settings, java, artifacts, HEAP_MB, account)
        nodes.append(StoreNode(settings, component))
    return nodes


@pytest.fixture
async def searching(root: Path) -> AsyncIterator[list[StoreNode]]:
    nodes, began = search_nodes(root), time.monotonic()
    try:
        await asyncio.gather(*(node.launch() for node in nodes))
        await asyncio.gather(*(node.until_ready(PATIENCE_S) for node in nodes))
        tell("three_search_nodes_serve", began)
        yield nodes
    finally:
        await asyncio.gather(*(node.kill() for node in nodes))


async def test_a_dead_master_stops_no_search(searching: list[StoreNode]) -> None:
    """The next document is taken by one of those that are left, both are found, and the dead one comes back in sync."""
    settings = searching[0].settings
    client = connect(settings.elasticsearch)
    sink = ElasticsearchSink(client, settings.elasticsearch.index_prefix)
    try:
        await sink.open()
        assert await sink.write([document(1)]) == []
        await until("a copy of it", lambda: is_whole(settings, nodes=3), PATIENCE_S)
        master = await name_of_master(settings)
        dead = next(node for node in searching if node.settings.node.id == master)
        began = time.monotonic()
        await dead.kill()
        await until("the next document is taken", lambda: taken(sink, 2), PATIENCE_S)
        tell("taken_after_the_master_died", began)
        assert await found(settings) == {"1", "2"}
        tell("both_found", began)
        assert await name_of_master(settings) != master
        began = time.monotonic()
        await dead.start(PATIENCE_S)
        tell("node_serves_again", began)
        await until("three nodes with all copies", lambda: is_whole(settings, nodes=3), PATIENCE_S)
        tell("all_copies_in_sync", began)
        assert await sink.write([document(3)]) == []
        assert await found(settings) == {"1", "2", "3"}
    finally:
        await sink.close()


async def taken(sink: ElasticsearchSink, number: int) -> bool:
    """As the sink's loop does: the same again until the cluster confirms it."""
    try:
        assert await sink.write([document(number)]) == []
    except UnavailableError:
        return False
    return True


async def ask(settings: Settings, method: str, path: str, **more: Any) -> Any:
    """By all addresses, with a client that knows nothing of which are away."""
    client = connect(settings.elasticsearch)
    try:
        return await request(client, method, path, **more)
    finally:
        await client.close()


async def found(settings: Settings) -> set[str]:
    """The numbers of the documents that a search finds."""
    name = alias_name(settings.elasticsearch.index_prefix)
    await ask(settings, "POST", f"/{name}-*/_refresh")
    hits = (await ask(settings, "POST", f"/{name}-*/_search", body={"query": {"match_all": {}}}))["hits"]["hits"]
    return {hit["_id"].rpartition("-")[2] for hit in hits}


async def name_of_master(settings: Settings) -> str:
    """The id of the node that is the master."""
    return str((await ask(settings, "GET", "/_cat/master?format=json"))[0]["node"])


async def is_whole(settings: Settings, nodes: int) -> bool:
    """Whether so many nodes are there, and every index has all of its copies."""
    try:
        health = await ask(settings, "GET", "/_cluster/health")
    except UnavailableError:
        return False
    return bool((health["status"], health["number_of_nodes"]) == ("green", nodes))
