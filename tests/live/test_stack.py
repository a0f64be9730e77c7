"""The local stack, as an operator has it: status, foreign clients, lifecycle, and what survives a kill."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from infra import kafka
from infra.cli.exits import Exit
from infra.datadir import DataDir
from infra.settings import Settings, postgresql_dsn, read_secret
from infra.stack.child import carriers
from infra.stack.elasticsearch import ADMIN, ADMIN_PASSWORD
from infra.stack.installation import ports_of, settings_text
from infra.stack.local import BACKING
from infra.stack.ports import PortRule, choose_ports
from infra.stack.probe import http_get
from infra.stack.state import load_state
from infra.tls import Profile, client_context
from schemas.topics import TOPICS
from tests.running_stack import open_directory, run_cli, running_stack

pytestmark = pytest.mark.live


def status_of(settings: Settings) -> dict[str, Any]:
    told = run_cli(settings.data.root, "status", "--json", timeout_s=60)
    return {"exit": told.returncode, **json.loads(told.stdout)}


def test_status_shows_every_component_healthy(stack: Settings) -> None:
    """Once `up` has returned, everything serves, with address and version, and `status` ends with 0."""
    status = status_of(stack)
    names = {it["name"] for it in status["components"]}
    assert names >= BACKING | {"gateway", "streams-1", "sinks-disk", "sinks-postgresql", "sinks-elasticsearch"}
    assert (status["exit"], status["healthy"], status["phase"]) == (0, True, "ready")
    assert all(it["version"] and it["address"] and it["pid"] for it in status["components"])


def test_our_processes_told_of_themselves(stack: Settings) -> None:
    """Gateway, workers and sinks are in the lifecycle topic, ready."""
    told = run_cli(stack.data.root, "lifecycle", "tail", "--from-start", "--once", "--json", timeout_s=60)
    ready = {event["role"] for event in map(json.loads, told.stdout.splitlines()) if event["event"] == "ready"}
    assert "gateway" in ready
    assert len(ready) >= 3


def test_the_mirror_shows_the_same_on_its_port(stack: Settings) -> None:
    """A bare TCP client that says nothing gets JSON lines, and the gateway is among the nodes."""
    with socket.create_connection((stack.gateway.host, stack.gateway.mirror_port), timeout=30) as client:
        lines = client.makefile("rb")
        seen = [json.loads(next(lines)) for _ in range(2)]
    assert seen[0]["line"] == "mirror"
    assert seen[1]["line"] == "node"


@pytest.fixture(scope="module")
def own() -> Iterator[Settings]:
    """Stores that this module may hurt."""
    with running_stack("--backing") as settings:
        yield settings


async def test_every_topic_is_made(own: Settings) -> None:
    """All topics of the table are there, with their partitions."""
    client = kafka.admin(own)
    await client.start()
    try:
        described = await client.describe_topics(list(TOPICS))
    finally:
        await client.close()
    found = {it["topic"]: len(it["partitions"]) for it in described}
    assert found == {name: own.kafka.partitions if it.partitions > 1 else 1 for name, it in TOPICS.items()}


async def test_postgresql_wants_the_password(own: Settings) -> None:
    """With the password the tables are there; with another nobody gets in."""
    connection = await asyncpg.connect(postgresql_dsn(own))
    assert await connection.fetchval("select count(*) from information_schema.tables where table_schema = 'public'")
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgresql_dsn(own), password="wrong")


async def test_elasticsearch_wants_tls_and_a_password(own: Settings) -> None:
    """Our user may use our indices and no others; the administrator may; nobody else gets in."""
    assert own.elasticsearch.ca_file is not None
    tls = client_context(Profile.MODERN, own.elasticsearch.ca_file)
    url = own.elasticsearch.url
    ours = own.elasticsearch.username, read_secret(own.elasticsearch.password_file)
    admin = ADMIN, read_secret(own.data.secrets / ADMIN_PASSWORD)
    assert (await http_get(f"{url}/_cluster/health", tls, ours))[0] == 200
    assert (await http_get(f"{url}/sealstream-x/_search?ignore_unavailable=true", tls, ours))[0] == 200
    assert (await http_get(f"{url}/other/_search", tls, ours))[0] == 403
    assert (await http_get(f"{url}/other/_search", tls, admin))[0] == 404
    assert (await http_get(f"{url}/_cluster/health", tls))[0] == 401
    with pytest.raises(OSError, match="does not speak HTTP"):
        await http_get(url.replace("https", "http") + "/")


def test_a_second_start_leaves_a_running_stack_alone(own: Settings) -> None:
    """`up` on a running stack says so and changes nothing."""
    before = load_state(own.data)
    again = run_cli(own.data.root, "up")
    assert (again.returncode, "runs already" in again.stdout) == (0, True)
    assert load_state(own.data) == before


def test_another_stack_is_told_who_has_the_port(own: Settings) -> None:
    """A stack that wants a taken port names the program that has it, and what to do; nothing is left running."""
    root = open_directory()
    try:
        data = DataDir(root)
        ports = {**choose_ports(PortRule.RANDOM), "redis": ports_of(own)["redis"]}
        data.config.write_text(settings_text(ports))
        told = run_cli(root, "up", "--backing")
        assert told.returncode == Exit.UNAVAILABLE
        assert "is taken by redis-server (pid" in told.stderr
        assert "--ports auto" in told.stderr
        assert list(carriers(root)) == []
    finally:
        shutil.rmtree(root)


@pytest.mark.slow
def test_a_stack_survives_the_kill_of_its_supervisor(own: Settings) -> None:
    """After kill -9 the stores live on and `status` says so; `up` ends them, starts anew, and has the same data."""
    before = load_state(own.data)
    assert before is not None
    assert before.supervisor is not None
    os.kill(before.supervisor.pid, signal.SIGKILL)
    assert status_of(own)["phase"] == "unsupervised"
    up = run_cli(own.data.root, "up", "--backing")
    assert up.returncode == 0, up.stderr
    after = load_state(own.data)
    assert after is not None
    assert status_of(own)["healthy"]
    assert not any(it.mark and it.mark.alive for it in before.components.values())
    assert asyncio.run(count_topics(own)) >= len(TOPICS)


async def count_topics(settings: Settings) -> int:
    client = kafka.admin(settings)
    await client.start()
    try:
        return len(await client.list_topics())
    finally:
        await client.close()


def test_down_leaves_no_process(own: Settings) -> None:
    """After `down` nothing that carries this data directory's mark lives, and a second `down` says so."""
    state = load_state(own.data)
    assert state is not None
    assert run_cli(own.data.root, "down").returncode == 0
    assert state.survivors == []
    assert list(carriers(own.data.root)) == []
    assert "No stack runs" in run_cli(own.data.root, "down").stdout
