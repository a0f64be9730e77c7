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

from gateway.agents import AgentLimits, AgentPort
from gateway.allocator import tune_allocator
from gateway.draining import Draining
from gateway.enrol import enrolment_dir
from gateway.facts import Facts
from gateway.gate import Gate
from gateway.health import Health
from gateway.https import HttpsPort
from gateway.kafka import KafkaPublisher
from gateway.lifecycle import LifecycleLog
from gateway.live.desk import LiveDesk
from gateway.metrics import TABLE
from gateway.mirror import LifecycleReader, Mirror
from gateway.ops.acks import AckMeter
from gateway.policy import CHECK_INTERVAL_S, PolicyFiles
from gateway.publisher import Outcome, Publisher
from infra.approved import ApprovedNodes
from infra.health import HealthServer
from infra.keys.follow import follow_table
from infra.lifecycle import Reporter
from infra.metrics import Metrics
from infra.pki.revocations import Revocations
from infra.tls.listener import TlsListener
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from infra.settings import Settings
    from infra.tls import Listener

log = structlog.get_logger()

ROLE = "gateway"
SPARE_FILES = 1024
"""Open files beside the agents' connections."""

FAREWELL_S = 3.0
"""How long the process waits for Kafka to take that it drains, and that it left."""


class Gateway:
    """One gateway process. Must be made on the running event loop."""

    def __init__(self, settings: Settings, publisher: Publisher | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics(TABLE)
        gateway = settings.gateway
        self.publisher = publisher or KafkaPublisher(
            settings.kafka.bootstrap,
            topic_prefix=settings.kafka.topic_prefix,
            queue_bytes=2 * gateway.memory_budget_bytes + (64 << 20),
            min_insync=settings.kafka.min_insync,
        )
        address = f"{settings.node.advertise}:{gateway.agent_port}"
        producer = ReportProducer(self.publisher, settings.kafka.topic_prefix)
        self.reporter = Reporter(settings, ROLE, producer, address=address)
        self.facts = Facts(self.publisher, reporter=self.reporter.node_id, incarnation=self.reporter.incarnation)
        self.policy = PolicyFiles(gateway.policy_file, gateway.recipients_dir)
        revocations = Revocations(enrolment_dir(settings))
        self.gate = Gate(gateway.ca_file.parent, revocations, pin_agents=gateway.pin_agents)
        self.live = LiveDesk(settings, lambda: self.policy.told, self.facts, self.metrics)
        self.agents = AgentPort(
            self.publisher,
            self.facts,
            self.metrics,
            lambda: self.policy.told,
            budget_bytes=gateway.memory_budget_bytes,
            limits=AgentLimits(
                gateway.max_connections,
                gateway.max_handshakes,
                handshake_timeout_s=gateway.handshake_timeout_s,
                hello_timeout_s=gateway.handshake_timeout_s,
            ),
            refuses=self.gate.refuses,
            live=self.live.hub,
        )
        self.health = Health(self.publisher, self.agents.budget, settings.node.data_dir)
        self.approved = ApprovedNodes(settings, self._apply_approval)
        self.https = HttpsPort(
            settings,
            health=self.health,
            policy=self.policy,
            facts=self.facts,
            metrics=self.metrics,
            approved=self.approved,
        )
        self.live.join(self.https.services)
        acks = AckMeter(self.metrics)
        self.draining = Draining(
            settings, self.reporter, self.agents, self.health, self._open_agent_port, more=acks.look_and_tell
        )
        self.tls: list[TlsListener] = []
        self.events = LifecycleLog(asyncio.get_running_loop().time)
        self.https.services.lifecycle = self.events
        self._reader = LifecycleReader(settings, self.events)
        self.mirror = Mirror(
            self.events,
            self._reader.read_back,
            self.approved,
            self.metrics,
            node_id=self.reporter.node_id,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set or a part fails; then stop in order, and raise what failed."""
        self.tls = [self._tls("agent"), self._tls("https")]
        https, live = await self._open_ports()
        parts = {
            "https": self.https.serve(https, self.tls[1].context),
            "live": self.live.port.serve(live, self.tls[1].context),
            "health": self.health.watch(),
            "files": self._watch_files(),
            "keys": follow_table(self.settings),
            "approved": self.approved.follow(),
            "lifecycle": self._reader.follow(),
            "replays": self.https.services.replays.follow(),
            "report": self.draining.report(),
            "wishes": self.draining.follow(),
            "stop": stop.wait(),
        }
        tasks = {name: asyncio.create_task(part, name=name) for name, part in parts.items()}
        checks = {"kafka": self.health.kafka, "disk": self.health.disk}
        address = f"{self.settings.gateway.host}:{self.settings.gateway.agent_port}"
        async with HealthServer(self.settings.data, ROLE, checks, self.metrics, address=address):
            log.info("gateway_started", node=self.reporter.node_id, agents=address)
            ending = [task for name, task in tasks.items() if name != "report"]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            failed = next((task.exception() for task in ending if task.done() and task.exception()), None)
            log.info("gateway_stopping", failed=type(failed).__name__ if failed else "")
            await self._stop(tasks)
        if failed:
            raise failed

    async def _open_ports(self) -> tuple[socket.socket, socket.socket]:
        """Open every port, or say which one cannot be."""
        gateway = self.settings.gateway
        try:
            port = gateway.agent_port
            https = self.https.listen(gateway.host, port := gateway.https_port)
            live = self.https.listen(gateway.host, port := self.settings.live_port)
            await self.mirror.listen(gateway.host, port := gateway.mirror_port)
            port = gateway.agent_port
            if not self.draining.drained:
                self._open_agent_port()
        except OSError as error:
            raise ConfigError(
                f"port {port} on {gateway.host} cannot be opened ({error.strerror}): "
                "free it, or name another in the table [gateway] of the settings ([live] for the agent port and one)"
            ) from None
        return https, live

    def _tls(self, listener: Listener) -> TlsListener:
        """A port's TLS, which is checked here: one that does not offer what its profile says is not opened."""
        gateway = self.settings.gateway
        agents = listener == "agent"
        own = gateway.agent_tls_profile if agents else gateway.https_tls_profile
        return TlsListener(
            own or gateway.tls_profile,
            listener,
            cert=gateway.cert_file,
            key=gateway.key_file,
            client_ca=gateway.ca_file if agents else None,
        )

    def _apply_approval(self) -> None:
        self.mirror.drop_unapproved()

    def _open_agent_port(self) -> None:
        gateway = self.settings.gateway
        if not self.agents.listening:
            self.agents.listen(gateway.host, gateway.agent_port, self.tls[0].context)

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            for tls in self.tls:
                tls.reload()
            if self.policy.reload():
                self.agents.tell_policy()
            if self.gate.reload():
                self.agents.drop_refused()
            self.https.trust.reload()

    async def _stop(self, tasks: Mapping[str, asyncio.Task[Any]]) -> None:
        """Agents first, so that what is under way is acknowledged; the mirror last, so that it shows the rest."""
        self.health.stopping = True
        reported = tasks["report"].done()
        if reported:
            await self._say(self.reporter.draining("stopping"))
        await self.agents.drain()
        self.live.port.stop()
        self.https.stop()
        if reported:
            await self._say(self.reporter.left())
        await self.publisher.flush(FAREWELL_S)
        await asyncio.wait([tasks["https"], tasks["live"]], timeout=FAREWELL_S)
        await self.mirror.close()
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await self.publisher.close()

    async def _say(self, fact: object) -> None:
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(fact, FAREWELL_S)  # type: ignore[arg-type]


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
    raise_file_limit(settings.gateway.max_connections)
    tune_allocator()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Gateway(settings).run(stop)
