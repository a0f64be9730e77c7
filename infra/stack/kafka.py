"""Kafka as a component of the stack: one KRaft node, broker and controller in one process."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from aiokafka.errors import KafkaError

from infra import kafka
from infra.settings import Settings
from infra.stack.account import Account, give
from infra.stack.artifacts import Artifacts
from infra.stack.component import Component, NotReadyError
from infra.stack.java import Java
from infra.stack.ports import choose_port
from infra.stack.probe import check_listens
from schemas.errors import UnavailableError
from schemas.topics import MAX_RECORD_BYTES

NAME = "kafka"

_CLUSTER_ID = "c2VhbHN0cmVhbS1sb2NhbA"
"""Base64 of 16 bytes, as Kafka wants it; one machine's clusters never meet."""

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
    """Kafka at the address of the settings."""
    home = settings.data.store(NAME)
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
            await asyncio.to_thread(_format, [*launch, "-Xmx128m"], properties, account)

    async def probe(_pid: int) -> str:
        host, _, port = settings.kafka.bootstrap.rpartition(":")
        await check_listens(host, int(port))  # a client would log each refusal as an error
        client = kafka.admin(settings)
        try:
            await client.start()
            brokers = (await client.describe_cluster())["brokers"]
        except KafkaError as error:
            raise NotReadyError(f"does not answer yet ({type(error).__name__})") from None
        finally:
            await client.close()
        if not brokers:
            raise NotReadyError("waits for its controller")
        return artifacts.kafka_version

    async def finish() -> None:
        await kafka.ensure_topics(settings)

    return Component(
        name=NAME,
        command=[*launch, f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", "-XX:+UseG1GC", "kafka.Kafka", properties],
        address=settings.kafka.bootstrap,
        account=account,
        prepare=prepare,
        probe=probe,
        finish=finish,
    )


def _properties(settings: Settings, home: Path) -> str:
    """The settings of one node. Its controller's port is nobody else's business, so any free one will do."""
    broker = settings.kafka.bootstrap
    controller = f"127.0.0.1:{choose_port('controller', [int(broker.rpartition(':')[2])])}"
    rows = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": home / "log",
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_RECORD_BYTES,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "offsets.retention.minutes": 60 * 24 * 30,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in rows.items())


def _format(launch: list[str | Path], properties: Path, account: Account | None) -> None:
    formatted = subprocess.run(
        [*launch, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", properties, "--ignore-formatted"],
        capture_output=True,
        text=True,
        check=False,
        cwd=properties.parent,
        **({} if account is None else account.arguments),
    )
    if formatted.returncode != 0:
        told = (formatted.stderr or formatted.stdout).strip().splitlines()
        raise UnavailableError(f"Kafka does not format its storage in {properties.parent}: {' | '.join(told[-3:])}")
