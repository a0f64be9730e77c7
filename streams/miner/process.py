"""The process `miner` of a node: the gRPC server, its health, its lifecycle, and the node's replays; until a signal.

Never mines, and never ends because Kafka or PostgreSQL is away: it says so.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import grpc
import structlog
from aiokafka.errors import KafkaError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from infra.approved import ApprovedNodes
from infra.health import HealthServer
from infra.hosts import authority
from infra.kafka import producer
from infra.keys.table import connected
from infra.lifecycle import Reporter
from infra.metrics import Metrics
from infra.monitoring.serving import serving_of
from infra.nodes.following import NodeFollower
from infra.nodes.load import ProcessLoad
from infra.nodes.wishes import Wish
from infra.pki.revocations import Revocations
from infra.replays.runner import Replays
from schemas.errors import ConfigError
from streams.miner.admission import Admission
from streams.miner.contract import SERVICE, services
from streams.miner.metrics import METRICS
from streams.miner.service import MinerService
from streams.miner.standing import LOOK_S, Observer
from streams.miner.tls import ServerTls

if TYPE_CHECKING:
    from infra.settings import Settings

log = structlog.get_logger(__name__)

ROLE = "miner"
GRACE_S = 3.0
"""How long calls that are under way may go on when the process is asked to end."""

FAREWELL_S = 5.0
"""How long it waits for Kafka to take that it left."""

_MAX_MESSAGE_BYTES = 1 << 20
_MAX_CALLS = 256
_RETRY_S = 2.0
_ENROL = "enrol"
"""Folder of the data directory with what is revoked."""

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class MinerProcess:
    """One process. Must be made on the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._miner = settings.miner
        self._address = f"{settings.node.address}:{self._miner.port}"
        self.metrics = Metrics(METRICS)
        self.observer = Observer(settings)
        self._revocations = Revocations(settings.node.data_dir / _ENROL)
        self.approved = ApprovedNodes(settings, self._drop)
        self._admission = Admission(
            self.approved.approves,
            self.metrics,
            certificates=self._miner.client_certificates,
            revoked=self._revocations.has_serial,
        )
        self._health = health.aio.HealthServicer()
        self._replays = Replays(settings, lambda: connected(settings))

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; raises `ConfigError` where the port or the TLS files cannot be used."""
        server = await self._serve()
        checks = {"kafka": self._check_kafka}
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.observer.close)
            await stack.enter_async_context(
                HealthServer(
                    self._settings.data,
                    ROLE,
                    checks,
                    self.metrics,
                    address=f"{self._miner.host}:{self._miner.port}",
                    serving=serving_of(self._settings),
                )
            )
            parts = (self._keep_health(), self._replays.follow(), self.approved.follow(), self._watch_files())
            tasks = [asyncio.create_task(part) for part in parts]
            told = asyncio.create_task(self._report(stop))
            stopping = asyncio.create_task(stop.wait())
            log.info("miner_started", address=self._address)
            try:
                await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            finally:
                stop.set()
                await self._health.enter_graceful_shutdown()
                await server.stop(GRACE_S)
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                with suppress(TimeoutError):
                    await asyncio.wait_for(told, FAREWELL_S)
        for fault in ended:
            if isinstance(fault, BaseException) and not isinstance(fault, asyncio.CancelledError):
                raise fault

    async def _serve(self) -> grpc.aio.Server:
        credentials = ServerTls(self._settings).credentials()
        server = grpc.aio.server(interceptors=[self._admission], options=OPTIONS, maximum_concurrent_rpcs=_MAX_CALLS)
        services.add_MinerServicer_to_server(MinerService(self._settings, self.observer), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        await self._tell_health(serves=False)
        try:
            server.add_secure_port(authority(self._miner.host, self._miner.port), credentials)
        except RuntimeError:
            raise ConfigError(
                f"port {self._miner.port} on {self._miner.host} cannot be opened: free it, or name another in the "
                "table [miner] of the settings"
            ) from None
        await server.start()
        return server

    async def _keep_health(self) -> None:
        """Look at the workers, and say by gRPC's own health checks and by metrics what was seen."""
        while True:
            standing = await self.observer.look()
            await self._tell_health(serves=not (standing.drained or standing.kafka_fault))
            self.metrics.gauge("miner_workers").set(len(standing.workers))
            self.metrics.gauge("miner_partitions").set(standing.held)
            self.metrics.gauge("miner_drained").set(standing.drained)
            await asyncio.sleep(LOOK_S)

    async def _tell_health(self, *, serves: bool) -> None:
        codes = health_pb2.HealthCheckResponse
        for service in ("", SERVICE):
            await self._health.set(service, codes.SERVING if serves else codes.NOT_SERVING)

    async def _check_kafka(self) -> str:
        return self.observer.standing.kafka_fault

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._revocations.reload()

    def _drop(self) -> None:
        self._admission.drop_unapproved()

    async def _report(self, stop: asyncio.Event) -> None:
        """Join, be ready, and leave when `stop` is set; as soon as Kafka takes it."""
        while not stop.is_set():
            sending = producer(self._settings)
            try:
                await sending.start()
                async with Reporter(self._settings, ROLE, sending, address=self._address) as reporter:
                    await reporter.ready()
                    telling = asyncio.create_task(self._follower(reporter).follow())
                    await stop.wait()
                    telling.cancel()
                    await asyncio.wait_for(reporter.draining("stopping"), GRACE_S)
            except (KafkaError, TimeoutError) as error:
                log.warning("miner_not_reported", reason=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _RETRY_S)
            finally:
                await sending.stop()

    def _follower(self, reporter: Reporter) -> NodeFollower:
        """Tells version and load. Nobody can wish this process drained: its workers are."""

        async def obey(_: Wish) -> None:
            """Nothing is to be done."""

        return NodeFollower(self._settings, reporter.node_id, reporter.incarnation, obey, ProcessLoad())


async def run_miner(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await MinerProcess(settings).run(stop)
