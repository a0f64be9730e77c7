"""The gateway process: its parts put together, started in order, and stopped in order.

Never serves before all its ports are open, and never ends before what it took is settled or its time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka.errors import KafkaError

from gateway.allocator import tune_allocator
from gateway.budget import Budget
from gateway.facts import Facts
from gateway.health import Health
from gateway.kafka import KafkaPublisher
from gateway.lifecycle import LifecycleLog
from gateway.marks import Marks
from gateway.metrics import TABLE
from gateway.mirror import LifecycleReader, Mirror
from gateway.policy import CHECK_INTERVAL_S, PolicyFiles
from gateway.presence.desk import Presence
from gateway.publisher import Outcome, Publisher
from gateway.servers import server_tasks
from gateway.standing import show_standing
from gateway.tracing import trace_publisher
from infra.approved import ApprovedNodes
from infra.health import HealthServer
from infra.keys.follow import follow_table
from infra.lifecycle import Reporter, until_told
from infra.metrics import Metrics
from infra.monitoring.serving import serving_of
from infra.sharing import follow_shared
from infra.tracing import tracing_of
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from gateway.parts import AgentsPart, WebPart
    from infra.settings import Settings
    from infra.tls.listener import TlsListener

log = structlog.get_logger()

ROLE, FRONT_ROLE = "gateway", "front"
"""In the life of nodes: a process that has agents, and one that has none."""

SPARE_FILES = 1024
"""Open files beside the agents' connections."""

FAREWELL_S = 3.0
"""How long the process waits for Kafka to take that it drains, and that it left."""


class Gateway:
    """One gateway process, of the parts that the settings name. Must be made on the running event loop."""

    def __init__(self, settings: Settings, publisher: Publisher | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics(TABLE)
        gateway = settings.gateway
        kafka = publisher or KafkaPublisher(
            settings.kafka.bootstrap,
            topic_prefix=settings.kafka.topic_prefix,
            queue_bytes=2 * gateway.memory_budget_bytes + (64 << 20),
            min_insync=settings.kafka.min_insync,
        )
        self.publisher = trace_publisher(kafka, tracing_of(settings, gateway.name))
        self.reporter = make_reporter(settings, self.publisher)
        self.facts = Facts(self.publisher, reporter=self.reporter.node_id, incarnation=self.reporter.incarnation)
        self.policy = PolicyFiles(gateway.policy_file, gateway.recipients_dir)
        self.marks = Marks(settings.redis)
        self.agents: AgentsPart | None = None
        self.web: WebPart | None = None
        if "agents" in gateway.parts:
            self.agents = self._make_agents()
        budget = self.agents.port.budget if self.agents else Budget(gateway.memory_budget_bytes, 0)
        self.health = Health(self.publisher, budget, settings.node.data_dir)
        show_standing(self.metrics, self.health, gateway)
        self.approved = ApprovedNodes(settings, self._apply_approval)
        self.events = LifecycleLog(asyncio.get_running_loop().time)
        self.presence = self._make_presence()
        self.draining = (
            self.agents.follow_wishes(self.reporter, self.health, self.presence.tell) if self.agents else None
        )
        self._reader = LifecycleReader(settings, self.events)
        if "https" in gateway.parts:
            self.web = self._make_web()
        self.mirror = Mirror(
            self.events,
            self._reader.read_back,
            self.approved,
            self.metrics,
            node_id=self.reporter.node_id,
        )
        self.tls: list[TlsListener] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set or a part fails; then stop in order, and raise what failed."""
        self._load_tls()
        await self._open_ports()
        tasks = {name: asyncio.create_task(task, name=name) for name, task in self._tasks(stop).items()}
        checks = {"kafka": self.health.kafka, "disk": self.health.disk}
        address = self.reporter.address
        async with HealthServer(
            self.settings.data,
            self.settings.gateway.name,
            checks,
            self.metrics,
            address=address,
            serving=serving_of(self.settings),
        ):
            log.info("gateway_started", parts=self.settings.gateway.parts, address=address)
            ending = [task for name, task in tasks.items() if name != "report"]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            failed = next((task.exception() for task in ending if task.done() and task.exception()), None)
            log.info("gateway_stopping", failed=type(failed).__name__ if failed else "")
            await self._stop(tasks)
        if failed:
            raise failed

    def _load_tls(self) -> None:
        """Make each kind of listener once: the ports of HTTPS and of live views share one."""
        if self._parts:
            from gateway.parts import make_tls

            https = make_tls(self.settings, "https")
            self.tls = [https, *(tls for part in self._parts for tls in part.load_tls(https))]

    @property
    def _parts(self) -> list[AgentsPart | WebPart]:
        return [part for part in (self.agents, self.web) if part is not None]

    def _make_agents(self) -> AgentsPart:
        from gateway.parts import AgentsPart

        return AgentsPart(self.settings, self.publisher, self.facts, self.policy, self.metrics, marks=self.marks)

    def _make_web(self) -> WebPart:
        """Imported when there is one: a process without it is a third of the size."""
        from gateway.parts import WebPart

        web = WebPart(
            self.settings,
            self.facts,
            policy=self.policy,
            health=self.health,
            approved=self.approved,
            metrics=self.metrics,
            events=self.events,
            presence=self.presence,
            marks=self.marks,
        )
        if web.https.services:
            live = self.agents.live if self.agents else web.make_live()
            live.join(web.https.services)
        return web

    def _make_presence(self) -> Presence:
        own = self.agents.tell_of(self.reporter, self.health) if self.agents else None
        port = self.agents.port if self.agents else None
        presence = Presence(self.settings, self.metrics, self.events, own, port)
        if self.agents:
            self.agents.live.seek_by(presence.view)
        return presence

    def _tasks(self, stop: asyncio.Event) -> dict[str, Coroutine[Any, Any, Any]]:
        """Everything that runs for as long as the process, by name."""
        tasks: dict[str, Coroutine[Any, Any, Any]] = {
            "health": self.health.watch(),
            "files": self._watch_files(),
            "keys": follow_table(self.settings),
            "approved": self.approved.follow(),
            "shared": follow_shared(self.settings),
            "stop": stop.wait(),
        }
        if self._parts:  # who serves the mirror alone assigns nobody
            tasks |= self.presence.tasks()
        if self.web or "mirror" in self.settings.gateway.parts:
            tasks["lifecycle"] = self._reader.follow()
        tasks |= server_tasks(self.settings, self.metrics)
        for part in self._parts:
            tasks |= part.tasks()
        if self.draining:
            tasks |= {"report": self.draining.report(), "wishes": self.draining.follow()}
        else:
            tasks["report"] = self._report()
        return tasks

    async def _report(self) -> None:
        await until_told(self.reporter.joined)
        await until_told(self.reporter.ready)

    async def _open_ports(self) -> None:
        """Open every port, or say which one cannot be."""
        gateway = self.settings.gateway
        port = gateway.https_port
        try:
            if self.web:
                self.web.open()
            if self.agents:
                port = self.settings.live_port
                self.agents.open_live()
            if "mirror" in gateway.parts:
                await self.mirror.listen(gateway.host, port := gateway.mirror_port)
            if self.agents and self.draining and not self.draining.drained:
                port = gateway.agent_port
                self.agents.open_agents()
        except OSError as error:
            raise ConfigError(
                f"port {port} on {gateway.host} cannot be opened ({error.strerror}): "
                "free it, or name another in the table [gateway] of the settings ([live] for the agent port and one)"
            ) from None

    def _apply_approval(self) -> None:
        self.mirror.drop_unapproved()

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            for tls in self.tls:
                tls.reload()
            changed = self.policy.reload()
            if self.agents:
                self.agents.look_again(policy_changed=changed)
            if self.web:
                self.web.https.trust.reload()

    async def _stop(self, tasks: Mapping[str, asyncio.Task[Any]]) -> None:
        """Agents first, so that what is under way is acknowledged; the mirror last, so that it shows the rest."""
        self.health.stopping = True
        await self.presence.tell()
        reported = tasks["report"].done()
        if reported:
            await self._say(self.reporter.draining("stopping"))
        if self.agents:
            await self.agents.port.drain()
            self.agents.live.port.stop()
        if self.web:
            self.web.https.stop()
        if reported:
            await self._say(self.reporter.left())
        await self.publisher.flush(FAREWELL_S)
        if serving := [tasks[name] for name in ("https", "live") if name in tasks]:
            await asyncio.wait(serving, timeout=FAREWELL_S)
        await self.mirror.close()
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await self.marks.close()
        await self.publisher.close()

    async def _say(self, fact: object) -> None:
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(fact, FAREWELL_S)  # type: ignore[arg-type]


def make_reporter(settings: Settings, publisher: Publisher) -> Reporter:
    """Who tells of this process: its role by whether it has agents, its address where those come, or HTTPS."""
    gateway = settings.gateway
    agents = "agents" in gateway.parts
    ports = {"agents": gateway.agent_port, "https": gateway.https_port, "mirror": gateway.mirror_port}
    port = next(port for part, port in ports.items() if part in gateway.parts)
    return Reporter(
        settings,
        ROLE if agents else FRONT_ROLE,
        ReportProducer(publisher, settings.kafka.topic_prefix),
        name=gateway.name,
        address=f"{settings.node.advertise}:{port}",
    )


class ReportProducer:
    """The gateway's publisher as `infra.lifecycle.Reporter` wants a producer."""

    def __init__(self, publisher: Publisher, topic_prefix: str) -> None:
        self._publisher = publisher
        self._prefix = topic_prefix

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        """Return when all in-sync replicas have the record; raises `KafkaError` when that cannot be known."""
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not settled.done():
                settled.set_result(outcome)

        self._publisher.publish(topic.removeprefix(self._prefix), key, value, [], settle)
        if await settled is not Outcome.DELIVERED:
            raise KafkaError(f"{topic}: not delivered")


def raise_file_limit(connections: int) -> None:
    """Allow as many open files as `connections` need, or say that the system does not."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("file_limit_low", allowed=allowed, wanted=wanted)


async def run_gateway(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    if "agents" in settings.gateway.parts:
        raise_file_limit(settings.gateway.max_connections)
        tune_allocator()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Gateway(settings).run(stop)
