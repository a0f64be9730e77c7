"""Several gateways in this process over real TLS, and a front that assigns agents to them, by a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.agents import AgentLimits, AgentPort
from gateway.draining import Draining
from gateway.facts import Facts
from gateway.health import Health
from gateway.https import HttpsPort, listen
from gateway.lifecycle import LifecycleLog
from gateway.live.hub import Hub
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.policy import PolicyFiles
from gateway.presence.desk import Presence
from gateway.presence.own import OwnGateway
from gateway.presence.store import open_redis
from gateway.run import ReportProducer
from infra.lifecycle import Reporter
from infra.metrics import Metrics
from infra.nodes.wishes import Wanted, Wish
from infra.pki import issue, make_ca
from infra.settings import GatewaySettings, NodeSettings, RedisSettings, Settings
from infra.stack.ports import choose_port
from infra.tls import Profile, server_context
from tests.journey import keep_kek, until


class Node:
    """One gateway process, as far as agents see it."""

    def __init__(self, settings: Settings) -> None:
        gateway = settings.gateway
        self.settings = settings
        self.publisher = MemoryPublisher()
        self.metrics = Metrics(TABLE)
        self.reporter = Reporter(
            settings,
            "gateway",
            ReportProducer(self.publisher, ""),
            name=gateway.name,
            address=f"127.0.0.1:{gateway.agent_port}",
        )
        self.facts = Facts(self.publisher, reporter=self.reporter.node_id, incarnation=self.reporter.incarnation)
        policy = PolicyFiles(gateway.policy_file, gateway.recipients_dir)
        self.hub = Hub(settings.live, "127.0.0.1", lambda: policy.told, self.metrics)
        self.port = AgentPort(
            self.publisher,
            self.facts,
            self.metrics,
            lambda: policy.told,
            budget_bytes=64 << 20,
            limits=AgentLimits(gateway.max_connections, drain_timeout_s=5.0),
            live=self.hub,
        )
        self.health = Health(self.publisher, self.port.budget, settings.node.data_dir, min_free_bytes=1)
        self.events = LifecycleLog(asyncio.get_running_loop().time)
        self.own = OwnGateway(settings, self.reporter, self.port, self.hub, self.health)
        self.presence = Presence(settings, self.metrics, self.events, self.own, self.port)
        self.draining = Draining(
            settings, self.reporter, self.port, self.health, self.open_agents, tell=self.presence.tell
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        return self.reporter.node_id

    async def open(self) -> None:
        """Listen, and tell."""
        await self.health.look()
        self.open_agents()
        await self.draining.report()
        self._tasks = [asyncio.create_task(task, name=name) for name, task in self.presence.tasks().items()]

    def open_agents(self) -> None:
        if not self.port.listening:
            gateway = self.settings.gateway
            context = server_context(
                Profile.MODERN, gateway.cert_file, gateway.key_file, gateway.ca_file, listener="agent"
            )
            self.port.listen("127.0.0.1", gateway.agent_port, context)

    async def wish(self, wanted: Wanted) -> None:
        """What an operator wishes of it."""
        await self.draining._obey(Wish(self.name, wanted, "otto"))

    async def die(self) -> None:
        """Be gone at once, without a word: connections break, and what is told of it stays until it expires."""
        await self._stop(withdraws=False)
        for connection in list(self.port._connections):
            connection.abort("dead")
        if self.port._door:
            await self.port._door.close()

    async def _stop(self, *, withdraws: bool) -> None:
        announcer = self.presence._announcer
        assert announcer
        if not withdraws:
            await announcer._redis.aclose()
            announcer._redis = open_redis(RedisSettings(url="redis://127.0.0.1:1/0"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        await self._stop(withdraws=True)
        if self.reporter._beating:
            self.reporter._beating.cancel()
        await self.port.drain()

    def told(self) -> list[bytes]:
        """Its lifecycle facts."""
        return [record.value for record in self.publisher.records if record.topic == "lifecycle"]


class Front:
    """The HTTPS port of a master without agents."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.publisher = MemoryPublisher()
        self.metrics = Metrics(TABLE)
        self.events = LifecycleLog(asyncio.get_running_loop().time)
        self.presence = Presence(settings, self.metrics, self.events)
        policy = PolicyFiles(settings.gateway.policy_file, settings.gateway.recipients_dir)
        self.health = Health(self.publisher, AgentPort.__new__(AgentPort), settings.node.data_dir)  # type: ignore[arg-type]
        self.https = HttpsPort(
            settings,
            health=self.health,
            policy=policy,
            facts=Facts(self.publisher, reporter="master-1/front", incarnation="1"),
            metrics=self.metrics,
            approved=["127.0.0.1"],
            assigner=self.presence.assigner,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        gateway = self.settings.gateway
        listener = listen("127.0.0.1", gateway.https_port)
        context = server_context(Profile.MODERN, gateway.cert_file, gateway.key_file, listener="https")
        self.health.faults = dict.fromkeys(self.health.faults, "")
        self._serving = asyncio.create_task(self.https.serve(listener, context))
        self._tasks = [asyncio.create_task(task, name=name) for name, task in self.presence.tasks().items()]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.https.stop()
        await self._serving


class Fleet:
    """Nodes `app-1`, `app-2`, … that share certificates, KEKs and Redis, and a front."""

    def __init__(self, directory: Path, redis: RedisSettings) -> None:
        self.directory = directory
        self.redis = redis
        self.nodes: list[Node] = []
        self.front = Front(self.settings("master-1"))
        self._read: dict[str, int] = {}

    def settings(self, node: str, **gateway: int) -> Settings:
        ports = {"agent_port": choose_port("agent"), "https_port": choose_port("https")}
        return Settings(
            node=NodeSettings(id=node, data_dir=self.directory, advertise="127.0.0.1"),
            redis=self.redis,
            gateway=GatewaySettings(**{**ports, **gateway}),  # type: ignore[arg-type]
        )

    async def add(self, **gateway: int) -> Node:
        """A node that joins; whoever looks knows of it when this returns."""
        node = Node(self.settings(f"app-{len(self.nodes) + 1}", **gateway))
        await node.open()
        self.nodes.append(node)
        await until(lambda: node.name in self.front.presence.view.gateways())
        return node

    def read_log(self) -> None:
        """Let everybody read the lifecycle log to its end."""
        for node in self.nodes:
            facts = node.told()
            for fact in facts[self._read.get(node.name, 0) :]:
                for events in (self.front.events, *(one.events for one in self.nodes)):
                    events.take(events.next_offset, fact)
            self._read[node.name] = len(facts)
        for events in (self.front.events, *(one.events for one in self.nodes)):
            events.caught_up()


def make_ground(directory: Path) -> None:
    """Certificates and a KEK of an installation."""
    make_ca(directory / "pki")
    issue(directory / "pki", "gateway", server=True, hosts=["127.0.0.1"])
    keep_kek(directory)


@asynccontextmanager
async def open_fleet(directory: Path, redis: RedisSettings, nodes: int = 2) -> AsyncIterator[Fleet]:
    """That many nodes and a front, while the context lasts."""
    fleet = Fleet(directory, redis)
    await fleet.front.open()
    try:
        for _ in range(nodes):
            await fleet.add()
        yield fleet
    finally:
        for node in fleet.nodes:
            await node.close()
        await fleet.front.close()
