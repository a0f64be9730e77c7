"""One envelope's whole way in this process: a server on real TLS ports, a road that breaks, and readers behind it.

Nothing here stands in for our own code: what is in memory are the fakes that ship with the packages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.clock import SystemClock
from agent.disk_spool import DiskSpool, open_spool
from agent.endpoint import make_hello
from agent.enrolment import enrol
from agent.identity import AgentIdentity, load_recipients
from agent.keyring import Keyring
from agent.policy import Policy
from agent.recorder import Recorder
from agent.settings import RecorderSettings, SpoolSettings, UplinkSettings
from agent.trust import Trust
from agent.uplink import Uplink
from gateway.agents import AgentPort
from gateway.enrol import make_token
from gateway.facts import Facts
from gateway.health import Health
from gateway.https import HttpsPort, listen
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.policy import PolicyFiles
from infra.metrics import Metrics
from infra.pki import issue, make_ca
from infra.settings import GatewaySettings, NodeSettings, Settings
from infra.tls import Profile, server_context
from schemas.enrolment import EnrolmentToken
from schemas.envelope import peek
from schemas.identity import EnvelopeId
from schemas.keys import Identity
from schemas.opening import Opener
from schemas.records import Record, decode_record
from sinks.loop import Limits as SinkLimits
from sinks.loop import Loop
from sinks.memory import MemoryBroker as SinkBroker
from sinks.memory import MemoryConsumer as SinkConsumer
from sinks.memory import MemoryDeadLetters, MemorySink
from streams.body import Body
from streams.delivery import Delivery
from streams.lane import Lane
from streams.lane import Limits as LaneLimits
from streams.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.mine import MINED_TOPICS, Miner
from streams.past import KafkaPast
from streams.warmup import WarmUp
from tests.gateway.standing import make_assigner

PATIENCE_S = 20.0
SMALL_SEGMENTS = RecorderSettings(segment_ms=20, segment_bytes=600)
QUICK_UPLINK = UplinkSettings(backoff_first_s=0.01, backoff_max_s=0.05, push_bytes=4096)


class Road:
    """A TCP relay to the agent port that loses connections, and what is on its way then.

    `cuts` lists after how many bytes the next ones are lost on the way up; `deaf_at`, how many records the server has
    published when one is lost on the way down, with the acks of the last of them.
    """

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self.deaf_at: list[int] = []
        self.server_port = 0
        self.published = lambda: 0
        self.lost = 0
        self._relays: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for relay in list(self._relays):
                relay.cancel()
            await asyncio.gather(*self._relays, return_exceptions=True)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = self.cuts.pop(0) if self.cuts else 1 << 40
        to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        ways = [
            asyncio.create_task(self._carry_up(reader, to_server[1], most)),
            asyncio.create_task(self._carry_down(to_server[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()
            to_server[1].transport.abort()

    async def _carry_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data[:most])
                await writer.drain()
                most -= len(data)
                if most <= 0:
                    self.lost += 1
                    return

    async def _carry_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                if self.deaf_at and self.published() >= self.deaf_at[0]:
                    del self.deaf_at[0]
                    self.lost += 1
                    return
                writer.write(data)
                await writer.drain()


class Server:
    """Enrolment, assignment and the agent port over real TLS, with the publisher in memory."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.publisher = MemoryPublisher()
        metrics = Metrics(TABLE)
        facts = Facts(self.publisher, reporter="node-1/gateway", incarnation="1")
        self.policy = PolicyFiles(settings.gateway.policy_file, settings.gateway.recipients_dir)
        self.port = AgentPort(self.publisher, facts, metrics, lambda: self.policy.told, budget_bytes=64 << 20)
        self.health = Health(self.publisher, self.port.budget, settings.node.data_dir, min_free_bytes=1)
        self._https = HttpsPort(
            settings,
            health=self.health,
            policy=self.policy,
            facts=facts,
            metrics=metrics,
            approved=["127.0.0.1"],
            assigner=make_assigner(settings, self.health, metrics),
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[int]:
        """While this lasts it serves; the number of the agent port."""
        gateway = self.settings.gateway
        listener = listen(gateway.host, gateway.https_port)
        serving = asyncio.create_task(self._https.serve(listener, self._context("https")))
        await self.health.look()
        try:
            yield self.port.listen(gateway.host, 0, self._context("agent"))
        finally:
            self.publisher.holding = False
            self.publisher.release()
            await self.port.drain()
            self._https.stop()
            await serving

    def _context(self, listener):
        gateway = self.settings.gateway
        client_ca = gateway.ca_file if listener == "agent" else None
        return server_context(Profile.MODERN, gateway.cert_file, gateway.key_file, client_ca, listener=listener)


def make_settings(directory: Path, *, https_port: int, agent_port: int) -> Settings:
    """Settings, certificates and a KEK in `directory`; agents are sent to `agent_port`."""
    make_ca(directory / "pki")
    issue(directory / "pki", "gateway", server=True, hosts=["127.0.0.1"])
    return Settings(
        node=NodeSettings(data_dir=directory),
        gateway=GatewaySettings(https_port=https_port, agent_port=agent_port),
    )


def keep_kek(directory: Path) -> Identity:
    """A new KEK; its public half lies where the gateway looks for it."""
    identity = Identity.generate(2048)
    (directory / "keys").mkdir(parents=True)
    (directory / "keys" / "server.pub.pem").write_bytes(identity.recipient.to_pem())
    return identity


@dataclass
class Endpoint:
    """An enrolled agent: recorder, spool and uplink, put together as the agent's process does it."""

    directory: Path
    identity: AgentIdentity
    policy: Policy
    spool: DiskSpool
    recorder: Recorder
    uplink: Uplink
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def enrol(cls, directory: Path, settings: Settings) -> tuple[AgentIdentity, Policy]:
        """Spend a token that the server made for it."""
        return await enrol(EnrolmentToken.parse(make_token(settings)), directory, SystemClock())

    @classmethod
    async def start(cls, directory: Path, identity: AgentIdentity, policy: Policy) -> Endpoint:
        clock = SystemClock()
        spool = await open_spool(directory / "spool", SpoolSettings(), clock)
        keyring = Keyring(load_recipients(directory), directory / "kek.pem")
        recorder = Recorder(
            agent_id=identity.id_bytes,
            settings=SMALL_SEGMENTS,
            spool=spool,
            keyring=keyring,
            policy=policy,
            clock=clock,
        )
        uplink = Uplink(
            address=identity.server,
            agent_id=identity.agent_id,
            trust=Trust(directory, "modern"),
            hello=lambda: make_hello(identity.agent_id, policy.streams, 1, user="ana", computer="desk-7"),
            spool=spool,
            settings=QUICK_UPLINK,
            clock=clock,
            welcome=lambda _: None,
            policy=lambda _: None,
        )
        return cls(directory, identity, policy, spool, recorder, uplink)

    def connect(self) -> None:
        """Push from now on."""
        self._running.append(asyncio.create_task(self.uplink.run()))

    async def acknowledged(self) -> None:
        """Return when the server has all that was recorded."""
        await self.spool.flush()
        await until(lambda: not self.spool.backlog().envelopes)

    async def close(self) -> None:
        await self.recorder.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.spool.close()


async def until(fact) -> None:
    """Wait for a fact that nothing announces."""
    async with asyncio.timeout(PATIENCE_S):
        while not fact():  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.005)


class NoScreens:
    """No screen is recorded on this journey, so none may be asked for."""

    async def read(self, agent, frames, *, emit=True):
        raise AssertionError("a screen came from nowhere")


class Readers:
    """Everything behind the gateway: the miner and a sink, on brokers in memory."""

    def __init__(self, publisher: MemoryPublisher, identity: Identity) -> None:
        self._publisher = publisher
        self.broker = MemoryBroker(partitions=2)
        self._consumer = MemoryConsumer(self.broker, "mine")
        miner = Miner(Opener([identity]), NoScreens(), WarmUp(KafkaPast(lambda: MemoryConsumer(self.broker))))
        body = Body(miner, Delivery(MemoryProducer(self.broker)))
        self._lane = Lane("mine", MINED_TOPICS, self._consumer, body, limits=LaneLimits(poll_ms=5, commit_s=0.0))
        self.sink = MemorySink((*MINED_TOPICS, "documents"))
        self.letters = MemoryDeadLetters()

    async def read_all(self) -> None:
        """Take what was published, mine it, and store it."""
        for record in self._publisher.records:
            self.broker.append(
                record.topic,
                record.value,
                record.key,
                headers=record.headers,
                timestamp_ms=header(record, "received-ms"),
            )
        running = asyncio.create_task(self._lane.run())
        await until(lambda: self._consumer in self.broker.members["mine"])
        await self.broker.rebalance("mine")
        await until(self._mined)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self._store()

    def _mined(self) -> bool:
        return all(
            self.broker.committed.get(("mine", at), 0) == len(log)
            for at, log in list(self.broker.logs.items())
            if at.topic in MINED_TOPICS
        )

    async def _store(self) -> None:
        broker = SinkBroker()
        for place, log in self.broker.logs.items():
            for one in log:
                broker.append(place.topic, one.value, partition=place.partition, key=one.key, headers=one.headers)
        loop = Loop(SinkConsumer(broker), self.sink, self.letters, limits=SinkLimits(), clock=broker.clock)
        broker.on_idle = loop.stop
        await loop.run()

    def envelopes(self) -> dict[EnvelopeId, list[bytes]]:
        """Stored envelopes by identity."""
        found: dict[EnvelopeId, list[bytes]] = defaultdict(list)
        for record in self.sink.stored.values():
            if record.topic != "documents":
                found[peek(record.value).id].append(record.value)
        return found

    def documents(self) -> dict[str, Record]:
        """Documents as a store keeps them: the newest version of each id."""
        latest: dict[str, Record] = {}
        for record in self.sink.stored.values():
            if record.topic == "documents":
                document = decode_record(record.value, "document")
                known = latest.get(document["document_id"])
                if known is None or document["version"] >= known["version"]:
                    latest[document["document_id"]] = document
        return latest

    def dead(self) -> list[Record]:
        """What could not be processed."""
        return [decode_record(record.value, "dead_letter") for record in self.broker.records("dead-letters")]


def header(record, name: str) -> int:
    """A number among a record's headers."""
    return int(dict(record.headers).get(name, b"0"))


@asynccontextmanager
async def open_journey(directory: Path, https_port: int) -> AsyncIterator[tuple[Server, Road]]:
    """A server, and the road to it."""
    async with AsyncExitStack() as stack:
        road = Road()
        road_port = await stack.enter_async_context(road.opened())
        identity = keep_kek(directory)
        settings = make_settings(directory, https_port=https_port, agent_port=road_port)
        server = Server(settings, identity)
        road.published = lambda: len(server.publisher.records)
        road.server_port = await stack.enter_async_context(server.opened())
        yield server, road
