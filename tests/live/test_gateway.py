"""The gateway on real Kafka: the publisher's contract, and what was acknowledged before a kill -9 is there after it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import uvloop

from gateway.kafka import KafkaPublisher
from infra.kafka import consumer, ensure_topics
from infra.pki import issue, make_ca
from infra.settings import Settings, load_settings
from infra.stack.ports import choose_port
from schemas.frames import Ack
from schemas.keys import Identity
from schemas.topics import HEADER_CONTENT_TYPE
from schemas.wire import State
from tests.gateway.endpoint import Credentials, Endpoint, seal_for
from tests.gateway.test_publisher import PublisherContract

pytestmark = pytest.mark.live


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


def own_topics(backing: Settings) -> Settings:
    """The same stores with a topic prefix that nobody else has."""
    kafka = backing.kafka.model_copy(update={"topic_prefix": f"t{uuid4().hex[:8]}-"})
    return backing.model_copy(update={"kafka": kafka})


async def read_topic(settings: Settings, topic: str) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
    """Every record of a topic: key, value, headers."""
    client = consumer(settings, None, topic)
    await client.start()
    rows = []
    try:
        ends = await client.end_offsets(client.assignment())
        while any([await client.position(part) < end for part, end in ends.items()]):
            for batch in (await client.getmany(timeout_ms=1000)).values():
                rows += batch
    finally:
        await client.stop()
    return [(row.key, row.value, dict(row.headers)) for row in rows]


class TestKafka(PublisherContract):
    """The real publisher, on a topic prefix of its own."""

    @pytest.fixture
    async def publisher(self, backing: Settings) -> AsyncIterator[KafkaPublisher]:
        self._settings = own_topics(backing)
        await ensure_topics(self._settings)
        kafka = self._settings.kafka
        made = KafkaPublisher(kafka.bootstrap, topic_prefix=kafka.topic_prefix)
        yield made
        await made.close()

    async def stored(self, topic: str) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
        return await read_topic(self._settings, topic)


@pytest.fixture
async def site(tmp_path: Path, backing: Settings) -> Settings:
    """A data directory of its own: certificates, a KEK, settings, topics."""
    settings = own_topics(backing)
    await ensure_topics(settings)
    make_ca(tmp_path / "pki")
    issue(tmp_path / "pki", "gateway", server=True, hosts=["127.0.0.1"])
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "server.pub.pem").write_bytes(Identity.generate(2048).recipient.to_pem())
    (tmp_path / "sealstream.toml").write_text(
        f'[kafka]\nbootstrap = "{settings.kafka.bootstrap}"\ntopic_prefix = "{settings.kafka.topic_prefix}"\n'
        f"[gateway]\nagent_port = {choose_port('agent')}\nhttps_port = {choose_port('https')}\n"
        f"mirror_port = {choose_port('mirror')}\n[live]\nport = {choose_port('https')}\n"
        f'[redis]\nprefix = "{settings.kafka.topic_prefix}"\n'
    )
    return load_settings(tmp_path / "sealstream.toml")


async def start_gateway(settings: Settings) -> subprocess.Popen[bytes]:
    """`sealstream gateway run`, listening."""
    root = settings.node.data_dir
    with (root / "gateway.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [sys.executable, "-m", "infra.cli", "gateway", "run"],
            env={**os.environ, "SEALSTREAM_DATA": str(root)}, stderr=log,
        )  # fmt: skip
    async with asyncio.timeout(120):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", settings.gateway.agent_port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return process
    raise AssertionError((root / "gateway.log").read_text())


async def push_until_cut(credentials: Credentials, port: int, identity: Identity, acked: list[bytes]) -> int:
    """Push as fast as credit allows until the connection ends; note what was acknowledged. Returns what was pushed."""
    endpoint = await Endpoint.greet(credentials, port)
    epoch = seal_for(credentials.agent_id, identity)
    pushed: list[bytes] = []
    while True:
        while endpoint.wire.state is State.OPEN and endpoint.wire.credit_left > 10_000 and endpoint.wire.unsettled < 64:
            pushed.append(epoch.seal(os.urandom(8000), capture_ms=1))
            endpoint.push(pushed[-1])
        frame = await endpoint.receive()
        if frame is None:
            return len(pushed)
        if isinstance(frame, Ack):
            acked += pushed[len(acked) : frame.next]


@pytest.mark.slow
async def test_what_was_acknowledged_before_a_kill_is_in_kafka(site: Settings, tmp_path: Path) -> None:
    """Three times: four agents push, the gateway is killed in the midst; no acknowledged envelope is missing."""
    identity = Identity.generate(2048)
    acknowledged: list[bytes] = []
    for _ in range(3):
        process = await start_gateway(site)
        agents = [Credentials.make(tmp_path, site.gateway.ca_file) for _ in range(4)]
        acked: list[list[bytes]] = [[] for _ in agents]
        pushing = [
            asyncio.create_task(push_until_cut(agent, site.gateway.agent_port, identity, mine))
            for agent, mine in zip(agents, acked, strict=True)
        ]
        async with asyncio.timeout(180):
            while sum(map(len, acked)) < 400:  # noqa: ASYNC110 - acks come one by one
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        pushed = sum(await asyncio.gather(*pushing))
        acknowledged += [envelope for mine in acked for envelope in mine]
        assert pushed > sum(map(len, acked))
    rows = await read_topic(site, "envelopes.keystrokes")
    assert set(acknowledged) <= {value for _, value, _ in rows}
    assert all({HEADER_CONTENT_TYPE, "user", "computer", "received-ms"} <= set(headers) for _, _, headers in rows)


async def test_sigterm_acknowledges_and_ends_well(site: Settings, tmp_path: Path) -> None:
    """An agent is sent away by Drain, everything acknowledged is stored once, and the exit code is 0."""
    process = await start_gateway(site)
    agent, identity = Credentials.make(tmp_path, site.gateway.ca_file), Identity.generate(2048)
    acked: list[bytes] = []
    pushing = asyncio.create_task(push_until_cut(agent, site.gateway.agent_port, identity, acked))
    async with asyncio.timeout(180):
        while len(acked) < 100:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    process.terminate()
    await pushing
    assert await asyncio.to_thread(process.wait, 120) == 0
    stored = [value for _, value, _ in await read_topic(site, "envelopes.keystrokes")]
    assert stored[: len(acked)] == acked
    assert len(stored) == len(set(stored))
