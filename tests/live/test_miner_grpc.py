"""The miner's gRPC service on a real stack: a node's status, replays from wish to end, draining until it has let go."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.api.access import Role
from infra import pki
from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.kafka import producer
from infra.keys import make_kek
from infra.settings import Settings, load_settings
from infra.stack.ports import choose_port
from schemas.errors import ConfigError, RemoteError
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.topics import ENVELOPE_CONTENT_TYPE, envelope_topic
from streams.miner.client import MinerClient, MissingError, open_miner
from streams.miner.contract import messages
from tests.api.ground import PASSPHRASE
from tests.api.operations import execute, open_operations
from tests.running_stack import run_cli
from tests.streams.recording import START_MS, Recorder, span

pytestmark = [pytest.mark.live, pytest.mark.slow]

PATIENCE_S = 180.0
SEGMENTS = 12
TOPIC = envelope_topic(StreamKind.ACTIVITY)
GROUPS = {"mine", "streams", "alerts"}


@dataclass
class Node:
    """A mining node with topics, a database and keys of its own; its processes run."""

    settings: Settings
    client: MinerClient
    ground: Any

    async def status(self) -> Any:
        return await self.client.ask("Status", messages.StatusRequest())

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_cli(self.settings.data.root, "miners", *arguments, timeout_s=PATIENCE_S)


@contextmanager
def process(root: Path, name: str, *arguments: str):
    """`sealstream ARGUMENTS` in that data directory, ended in order afterwards."""
    environment = {key: value for key, value in os.environ.items() if key != CONFIG_VARIABLE}
    with (root / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", *arguments],
            env={**environment, VARIABLE: str(root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield running
    finally:
        running.terminate()
        assert running.wait(180) == 0, (root / f"{name}.log").read_text()[-3000:]


@asynccontextmanager
async def mining_node(backing: Settings, root: Path) -> AsyncIterator[Node]:
    """A worker and the gRPC service of one node."""
    async with open_operations(backing, root, Role.OPERATOR) as ground:
        make_kek(ground.settings.keys.dir, "server", PASSPHRASE.encode(), 2048)
        (root / "pki").mkdir()
        pki.make_ca(root / "pki")
        pki.issue(root / "pki", "gateway", server=True, hosts=["127.0.0.1"])
        with ground.settings.data.config.open("a") as config:
            config.write(f"\n[node]\nid = 'miner-7'\n\n[miner]\nport = {choose_port('miner')}\n")
        settings = load_settings(ground.settings.data.config)
        with process(root, "worker", "streams", "run", "--worker", "1"), process(root, "miner", "miner", "run"):
            await until("the miner", (root / "run" / "miner.json").exists)
            async with open_miner(settings, f"127.0.0.1:{settings.miner.port}") as client:
                yield Node(settings, client, ground)


async def until(what: str, fact: Callable[[], Any]) -> Any:
    """What `fact` gives as soon as it gives something."""
    for _ in range(int(PATIENCE_S / 0.3)):
        found = fact()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.3)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")


async def record(node: Node) -> str:
    """Somebody's activity, in Kafka and in the table of envelopes as gateway and sink leave them; the agent."""
    recipient = Recipient.from_pem((node.settings.keys.dir / "server.pub.pem").read_bytes())
    recorder = Recorder("ann", StreamKind.ACTIVITY, recipient=recipient)
    sending = producer(node.settings)
    await sending.start()
    for number in range(SEGMENTS):
        at_us = (START_MS + 1000 * number) * 1000
        [envelope] = recorder.record([span("Editor", "plan.txt", at_us=at_us, for_us=900_000)])
        headers = [("content-type", ENVELOPE_CONTENT_TYPE), ("user", b"ann"), ("computer", b"desk-1")]
        told = await sending.send_and_wait(
            node.settings.kafka.topic_prefix + TOPIC, envelope, key=recorder.key, headers=headers
        )
        await execute(
            node.ground,
            "INSERT INTO envelope VALUES ($1, $2, $3, 'activity', now(), now(), $4, false, $5, $6)",
            *(recorder.agent, recorder.epoch.epoch_id, number, len(envelope), told.partition, told.offset),
        )
    await sending.stop()
    return str(recorder.agent)


async def test_a_mining_node_by_grpc(backing: Settings, tmp_path: Path) -> None:
    """Status tells what is held; a replay is submitted, watched and done, one is cancelled; drained, it has let go."""
    async with mining_node(backing, tmp_path / "node") as node:
        await until("partitions", lambda: holds_all(node))
        assert await node.client.serves()
        agent = await record(node)
        await check_replay(node, agent)
        await check_cancelling(node, agent)
        await check_commands(node)
        await check_draining(node)


async def holds_all(node: Node) -> bool:
    """Whether the one worker has every partition of its groups, and is well."""
    told = await node.status()
    held = {row.group for row in told.lag if row.here}
    return held >= GROUPS and all(row.here for row in told.lag if row.group in GROUPS) and not told.faults


async def check_replay(node: Node, agent: str) -> None:
    """By the table of replays: with a purpose, audited, run by this node, followed to its end."""
    wish = {"topic": TOPIC, "processor": "activity", "agents": [agent], "purpose": "sums anew", "person": "ann@desk-1"}
    run = await node.client.ask("SubmitReplay", messages.SubmitReplayRequest(**wish))
    assert (run.node, run.state, run.expected_records, run.person) == ("miner-7", "waiting", SEGMENTS, "ann@desk-1")
    told = [one async for one in node.client.follow("WatchReplay", messages.WatchReplayRequest(run_id=run.run_id))]
    assert (told[-1].state, told[-1].done, told[-1].share) == ("done", SEGMENTS, 1.0), told[-1].fault
    assert told[-1].results > 0
    with pytest.raises(RemoteError, match="has ended already"):
        await node.client.ask("CancelReplay", messages.CancelReplayRequest(run_id=run.run_id))
    with pytest.raises(MissingError, match="nothing in that range"):
        await node.client.ask("SubmitReplay", messages.SubmitReplayRequest(**{**wish, "until_ms": 1}))


async def check_cancelling(node: Node, agent: str) -> None:
    """One that is slow is ended in order: nobody waits for it any longer."""
    wish = {"topic": TOPIC, "processor": "activity", "agents": [agent], "purpose": "to be cancelled"}
    run = await node.client.ask("SubmitReplay", messages.SubmitReplayRequest(**wish, records_per_s=0.01))
    watching = node.client.follow("WatchReplay", messages.WatchReplayRequest(run_id=run.run_id))
    states = []
    async for told in watching:
        states.append(told.state)
        if told.state == "running" and "cancelling" not in states:
            await node.client.ask("CancelReplay", messages.CancelReplayRequest(run_id=run.run_id))
            states.append("cancelling")
    assert states[-1] == "cancelled"
    listed = await node.client.ask("ListReplays", messages.ListReplaysRequest())
    assert [one.state for one in listed.replays] == ["cancelled", "done"]


async def check_commands(node: Node) -> None:
    """The same by the command line, for people and for scripts."""
    told = json.loads(node.cli("status", "--json").stdout)
    assert (told["node"], told["drained"], [one["name"] for one in told["workers"]]) == (
        "miner-7",
        False,
        ["streams-1"],
    )
    assert json.loads(node.cli("capabilities", "--json").stdout)["ocr"]["engine"] == "tesseract"
    assert [one["state"] for one in json.loads(node.cli("replays", "--json").stdout)] == ["cancelled", "done"]
    nothing = node.cli("submit", TOPIC, "--processor", "activity", "--until", "2020-01-01", "--purpose", "for nothing")
    assert (nothing.returncode, "nothing in that range" in nothing.stderr) == (1, True)
    unknown = node.cli("status", "miner-8")
    assert (unknown.returncode, "no miner of 'miner-8'" in unknown.stderr) == (2, True)


async def check_draining(node: Node) -> None:
    """Drain ends when no partition is held; health says so; Resume has them all back."""
    request = messages.DrainRequest(reason="new memory", person="ann@desk-1")
    told = [one async for one in node.client.follow("Drain", request)]
    assert (told[0].drained, told[0].partitions > 0) == (False, True)
    assert (told[-1].drained, told[-1].partitions) == (True, 0)
    await until("health to say so", lambda: serves(node, wanted=False))
    status = await node.status()
    assert (status.drained, status.partitions, any(row.here for row in status.lag)) == (True, 0, False)
    [wish] = await execute(node.ground, "SELECT * FROM node_wish")
    assert (wish["node_id"], wish["wanted"], wish["by_account"]) == ("miner-7/streams-1", "drained", "ann@desk-1")
    again = node.cli("drain", "--reason", "twice is no fault")
    assert (again.returncode, again.stdout.strip()) == (0, "drained: nothing is read here")
    resumed = node.cli("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "streams-1 is wished serving: it follows within seconds\n")
    await until("partitions again", lambda: holds_all(node))
    await until("health to say so", lambda: serves(node, wanted=True))
    with pytest.raises(ConfigError):
        await node.client.ask("Resume", messages.ResumeRequest(reason="x" * 501))


async def serves(node: Node, *, wanted: bool) -> bool:
    return await node.client.serves() is wanted
