"""Draining by wish, on the real stores: agents are sent away, spool while there is no gateway, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2 as httpx
import pytest
from confluent_kafka.admin import AdminClient

from infra.settings import Settings
from schemas.envelope import peek
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from tests.live.live_site import PATIENCE_S, Site, open_site
from tests.live.load import Account
from tests.live.operator import EnrolledAgent, end, psql, read_topic, until

pytestmark = [pytest.mark.live, pytest.mark.slow]

LETTERS_A_SECOND = "5"
AGENT = "[recorder]\nsegment_ms = 100\n[uplink]\nbackoff_max_s = 1.0\n"


def node_of(site: Site) -> str:
    return site.environment["SEALSTREAM_NODE__ID"]


def state(stack: Settings, node_id: str) -> str:
    """What the nodes' table says of a process."""
    rows = psql(stack, f"select state from node_state where node_id = '{node_id}'")
    return rows[0][0] if rows else ""


def test_an_agent_of_the_only_gateway_spools_and_comes_back(stack: Settings, tmp_path: Path) -> None:
    """Drained under load: agents go with everything acknowledged, record into their spools, and deliver afterwards.

    The console's port answers all the while; every envelope that was ever appended is in Kafka in the end.
    """
    policy = tmp_path / "site" / "policy.json"
    with open_site(stack, tmp_path / "site") as site:
        site.set_policy(streams=["email"], live=[])
        until("the policy", policy.exists)
        gateway = f"{node_of(site)}/gateway"
        agent = enrol_agent(stack, site, tmp_path / "agent")
        directory = agent.directory
        load = start_load(directory)
        try:
            until("acks", lambda: len(account(agent).acknowledged) > 10, PATIENCE_S)
            site.cli("nodes", "drain", gateway, "--reason", "a test")
            until("the gateway to say so", lambda: assignment(site).status_code == 503, PATIENCE_S)
            until("the state", lambda: state(stack, gateway) == "draining", PATIENCE_S)
            settled = await_no_acks(agent)
            until("letters in the spool", lambda: len(account(agent).appended) > settled + 10, PATIENCE_S)
            assert len(account(agent).acknowledged) == settled, "a drained gateway acknowledged something"
            assert httpx.get(f"{site.base}/api/v1/openapi.json", verify=False, timeout=60).status_code == 200
            site.cli("nodes", "resume", gateway)
            until("acks go on", lambda: len(account(agent).acknowledged) > settled + 10, PATIENCE_S)
            assert state(stack, gateway) in {"ready", "draining"}  # its sink may be a moment behind
        finally:
            load.send_signal(signal.SIGTERM)
            assert load.wait(PATIENCE_S) == 0, (directory / "load.log").read_text()[-3000:]
    told = account(agent)
    assert told.left == 0, "envelopes are left in the spool"
    letters = {identity for identity, stream in told.streams.items() if stream == "email"}
    stored = ids_of(stack)
    assert len(letters) > 20
    assert not letters - stored


def test_agents_of_a_drained_gateway_go_to_another_and_lose_nothing(stack: Settings, tmp_path: Path) -> None:
    """Two gateways, one agent: whichever has it is drained under load, and then the other after it is taken back.

    Acks go on while one is drained, and every letter is in Kafka exactly once.
    """
    with (
        open_site(stack, tmp_path / "one", NODE__ID=f"test-one-{os.getpid()}") as one,
        open_site(stack, tmp_path / "two", NODE__ID=f"test-two-{os.getpid()}") as two,
    ):
        for site in (one, two):
            site.set_policy(streams=["email"], live=[])
        until("both gateways know of each other", lambda: len(assignment(one).json().get("alternatives", ())) == 1)
        agent = enrol_agent(stack, one, tmp_path / "agent")
        load = start_load(agent.directory)
        try:
            for _ in range(2):
                move_by_draining(agent, one, two)
        finally:
            load.send_signal(signal.SIGTERM)
            assert load.wait(PATIENCE_S) == 0, (agent.directory / "load.log").read_text()[-3000:]
    told = account(agent)
    assert told.left == 0, "envelopes are left in the spool"
    letters = {identity for identity, stream in told.streams.items() if stream == "email"}
    stored = Counter(identity for identity in all_ids_of(stack) if identity in letters)
    assert len(letters) > 40
    assert set(stored) == letters
    assert set(stored.values()) == {1}


def move_by_draining(agent: EnrolledAgent, one: Site, two: Site) -> None:
    """Drain the gateway that has the agent until the other one acknowledges, and take it back."""
    await_acks(agent)
    has_it = assigned(one, agent)
    site, other = (one, two) if has_it == f"{node_of(one)}/gateway" else (two, one)
    site.cli("nodes", "drain", has_it, "--reason", "a test")
    until("it is drained", lambda: assignment(site).json()["gateway"].startswith(node_of(other)), PATIENCE_S)
    await_acks(agent)
    assert assigned(one, agent) == f"{node_of(other)}/gateway"
    site.cli("nodes", "resume", has_it)
    until("it takes agents again", lambda: assignment(one).json().get("alternatives"), PATIENCE_S)


def await_no_acks(agent: EnrolledAgent) -> int:
    """Until nothing more is acknowledged of what was under way; how much was."""
    seen, settled = -1, 0
    while seen != settled:
        time.sleep(2)
        seen, settled = settled, len(account(agent).acknowledged)
    return settled


def await_acks(agent: EnrolledAgent) -> None:
    """Until more was acknowledged."""
    seen = len(account(agent).acknowledged)
    until("acks", lambda: len(account(agent).acknowledged) > seen + 10, PATIENCE_S)


def enrol_agent(stack: Settings, site: Site, directory: Path) -> EnrolledAgent:
    """An agent that was enrolled at the site."""
    directory.mkdir()
    (directory / "agent.toml").write_text(AGENT)
    site.cli("agent", "enrol", site.cli("agent", "token").split()[-1], "--dir", str(directory))
    return EnrolledAgent(stack, directory, json.loads((directory / "identity.json").read_text())["agent_id"])


def assigned(site: Site, agent: EnrolledAgent) -> str:
    """The gateway that the agent would be sent to now: where it is, if it is well there."""
    answer = httpx.get(f"{site.base}/api/v1/assign", params={"agent": agent.agent_id}, verify=False, timeout=60)
    return str(answer.json()["gateway"])


def ids_of(stack: Settings) -> set[EnvelopeId]:
    """Every letter in Kafka."""
    return set(all_ids_of(stack))


def all_ids_of(stack: Settings) -> list[EnvelopeId]:
    """The same, as often as each is there; what others put there that is no envelope is passed over."""
    found: list[EnvelopeId] = []
    for record in read_topic(stack, "envelopes.email"):
        with contextlib.suppress(MalformedError):
            found.append(peek(record.value() or b"").id)
    return found


def account(agent: EnrolledAgent) -> Account:
    return Account.read(agent.directory, agent.agent_id)


def assignment(site: Site) -> httpx.Response:
    return httpx.get(f"{site.base}/api/v1/assign", verify=False, timeout=60)


def start_load(directory: Path) -> subprocess.Popen[bytes]:
    """Letters from now on."""
    with (directory / "load.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.live.load", LETTERS_A_SECOND, str(directory)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


def test_a_drained_worker_stands_by_and_works_again(stack: Settings, tmp_path: Path) -> None:
    """It lets its partitions go in order, stays the same process, keeps to its wish, and comes back."""
    node = f"test-drain-{os.getpid()}"
    worker = f"{node}/streams-9"
    environment = {**os.environ, "SEALSTREAM_DATA": str(stack.data.root), "SEALSTREAM_NODE__ID": node}
    with (tmp_path / "worker.log").open("wb") as log:
        command = [sys.executable, "-m", "infra.cli", "streams", "run", "--worker", "9"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    site = Site(stack.data.root, tmp_path, {}, environment)
    try:
        until("the worker", lambda: state(stack, worker) == "ready", PATIENCE_S)
        site.cli("nodes", "drain", worker)
        until("it stands by", lambda: "worker_stands_by" in (tmp_path / "worker.log").read_text(), PATIENCE_S)
        until("the state", lambda: state(stack, worker) == "draining", PATIENCE_S)
        site.cli("nodes", "resume", worker)
        until("it works again", lambda: state(stack, worker) == "ready", PATIENCE_S)
        assert process.poll() is None
    finally:
        end(process)


def test_a_drained_sink_leaves_its_group_and_fills_again(stack: Settings, tmp_path: Path) -> None:
    """It commits what it has, hands its partitions over, stays the same process also over its wish, and comes back."""
    node = f"test-drain-sink-{os.getpid()}"
    sink = f"{node}/sink-postgresql"
    environment = {**os.environ, "SEALSTREAM_DATA": str(stack.data.root), "SEALSTREAM_NODE__ID": node}
    site = Site(stack.data.root, tmp_path, {}, environment)
    with (tmp_path / "sink.log").open("wb") as log:
        command = [sys.executable, "-m", "infra.cli", "sinks", "run", "postgresql"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until("the sink", lambda: state(stack, sink) == "ready", PATIENCE_S)
        until("its place in the group", lambda: node in members(stack, "sink-postgresql"), PATIENCE_S)
        until("its load", lambda: "lag" in load(stack, sink), PATIENCE_S)
        site.cli("nodes", "drain", sink)
        until("the state", lambda: state(stack, sink) == "draining", PATIENCE_S)
        until("its leaving", lambda: node not in members(stack, "sink-postgresql"), PATIENCE_S)
        site.cli("nodes", "resume", sink)
        until("it fills again", lambda: state(stack, sink) == "ready", PATIENCE_S)
        until("its place in the group", lambda: node in members(stack, "sink-postgresql"), PATIENCE_S)
        assert process.poll() is None
    finally:
        assert end(process) == 0


def members(stack: Settings, group: str) -> list[str]:
    """Client ids of the members of a consumer group: the nodes' ids."""
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap})
    name = stack.kafka.topic_prefix + group
    told = admin.describe_consumer_groups([name], request_timeout=30)[name].result(30)
    return [member.client_id for member in told.members]


def load(stack: Settings, node_id: str) -> str:
    """What a process told of its load."""
    rows = psql(stack, f"select load from node_report where node_id = '{node_id}'")
    return rows[0][0] if rows else ""
