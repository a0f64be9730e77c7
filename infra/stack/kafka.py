"""Kafka as a component of the stack: a KRaft node, broker and controller in one process, alone or of a cluster.

Never forms a second cluster where brokers of this one run: a new broker takes their id.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
from pathlib import Path

import structlog
from aiokafka.errors import KafkaError

from infra import kafka
from infra.cluster import broker_count, own_broker, own_controller, wanted_copies
from infra.pki import CA_CERT, ca_fingerprint
from infra.settings import Settings
from infra.stack.account import Account, give
from infra.stack.artifacts import Artifacts
from infra.stack.component import Component, NotReadyError
from infra.stack.java import Java
from infra.stack.ports import choose_port
from infra.stack.probe import check_listens
from schemas.errors import ConfigError, UnavailableError
from schemas.topics import MAX_RECORD_BYTES

log = structlog.get_logger()

NAME = "kafka"
OTHERS_WITHIN_S = 120.0
"""How long a broker that starts waits for the others before it counts as ready without our topics."""

_ASK_AGAIN_S = 1.0
_READY_WITHIN_S = {False: 300.0, True: 86_400.0}
"""A broker of several serves only once most of them run, and other machines may be started much later."""

_CLUSTER_ID = "c2VhbHN0cmVhbS1sb2NhbA"
"""Base64 of 16 bytes, as Kafka wants it; one machine's clusters never meet."""

_BROKEN_LINES = {"controller.socket.timeout.ms": 5_000, "replica.socket.timeout.ms": 10_000}
"""A connection that a cut network broke without a word is given up after so long. With Kafka's 30 s, nothing is
acknowledged for as long again once the network is back: the change of replicas waits on the old line."""

_LOGGING = """\
<Configuration>
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d %p %m (%c)%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


def kafka_component(
    settings: Settings, java: Java, artifacts: Artifacts, heap_mb: int, account: Account | None
) -> Component:
    """The broker of this node, at the address of the settings."""
    home, place = settings.data.store(NAME), own_broker(settings)
    properties, logging = home / "server.properties", home / "log4j2.xml"
    launch: list[str | Path] = [
        java.program,
        "-cp",
        artifacts.kafka / "libs" / "*",
        f"-Dlog4j2.configurationFile={logging}",
    ]

    async def prepare() -> None:
        give(home, account)
        properties.write_text(_properties(settings, home), "utf-8")
        logging.write_text(_LOGGING, "utf-8")
        give(home, account)
        if not (home / "log" / "meta.properties").exists():
            cluster_id = await find_cluster_id(settings)
            await asyncio.to_thread(_format, [*launch, "-Xmx128m"], properties, cluster_id, account)

    async def probe(_pid: int) -> str:
        await check_listens(place.host, place.port)  # a client would log each refusal as an error
        try:
            _, brokers = await kafka.read_brokers(settings, str(place))
        except KafkaError as error:
            raise NotReadyError(f"does not answer yet ({type(error).__name__})") from None
        if settings.kafka.node_id not in brokers:
            raise NotReadyError("waits for its controller")
        return artifacts.kafka_version

    async def finish() -> None:
        await _make_topics(settings)

    return Component(
        name=NAME,
        command=[*launch, f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", "-XX:+UseG1GC", "kafka.Kafka", properties],
        address=str(place),
        account=account,
        prepare=prepare,
        probe=probe,
        finish=finish,
        ready_within_s=_READY_WITHIN_S[bool(settings.kafka.controllers)],
    )


async def _make_topics(settings: Settings) -> None:
    """Make our topics as soon as there are brokers enough; a cluster that stays too small is left as it is."""
    try:
        async with asyncio.timeout(OTHERS_WITHIN_S if settings.kafka.controllers else None):
            while True:
                try:
                    await kafka.ensure_topics(settings)
                except UnavailableError as error:
                    if not settings.kafka.controllers:
                        raise
                    log.info("waits_for_brokers", reason=str(error))
                else:
                    return
                await asyncio.sleep(_ASK_AGAIN_S)
    except TimeoutError:
        log.warning("topics_not_made", brokers=broker_count(settings))  # sinks make them when the others have come


async def find_cluster_id(settings: Settings) -> str:
    """The id of the cluster that this node's broker is of: the same on all nodes. Raises `ConfigError`."""
    if settings.kafka.cluster_id:
        return settings.kafka.cluster_id
    if not settings.kafka.controllers:
        return _CLUSTER_ID
    try:
        running, _ = await kafka.read_brokers(settings)
    except (KafkaError, OSError):
        running = ""
    return running or derive_cluster_id(settings.data.pki / CA_CERT)


def derive_cluster_id(authority: Path) -> str:
    """The id of a cluster that is made now, by the CA that all its nodes share; raises `ConfigError`."""
    try:
        fingerprint = ca_fingerprint(authority.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"{authority} does not name this site: bring it here, or set kafka.cluster_id") from None
    return base64.urlsafe_b64encode(fingerprint[:16]).decode().rstrip("=")


def _properties(settings: Settings, home: Path) -> str:
    """The settings of one broker. Alone, its controller's port is nobody else's business: any free one will do."""
    broker = own_broker(settings)
    if settings.kafka.controllers:
        controller, voters = str(own_controller(settings)), ",".join(settings.kafka.controllers)
    else:
        controller = f"127.0.0.1:{choose_port('controller', [broker.port])}"
        voters = f"{settings.kafka.node_id}@{controller}"
    copies, min_insync = wanted_copies(settings)
    rows = {
        "process.roles": "broker,controller",
        "node.id": settings.kafka.node_id,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": home / "log",
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_RECORD_BYTES,
        "default.replication.factor": copies,
        "min.insync.replicas": min_insync,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 8,
        "offsets.retention.minutes": 60 * 24 * 30,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": min_insync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": min_insync,
        "group.initial.rebalance.delay.ms": 0,
        **(_BROKEN_LINES if settings.kafka.controllers else {}),
    }
    return "".join(f"{name}={value}\n" for name, value in rows.items())


def _format(launch: list[str | Path], properties: Path, cluster_id: str, account: Account | None) -> None:
    formatted = subprocess.run(
        [*launch, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", properties, "--ignore-formatted"],
        capture_output=True,
        text=True,
        check=False,
        cwd=properties.parent,
        **({} if account is None else account.arguments),
    )
    if formatted.returncode != 0:
        told = (formatted.stderr or formatted.stdout).strip().splitlines()
        raise UnavailableError(f"Kafka does not format its storage in {properties.parent}: {' | '.join(told[-3:])}")
