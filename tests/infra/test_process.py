"""What every process starts with: logging, metrics, health, lifecycle events."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
import structlog
from aiokafka.errors import KafkaError

from infra.datadir import DataDir
from infra.health import HealthServer
from infra.lifecycle import Reporter, until_told
from infra.logging import configure_logging
from infra.metrics import Kind, Metric, Metrics
from infra.settings import KafkaSettings, NodeSettings, Settings
from infra.stack.probe import http_get
from infra.stack.processes import explain_health
from schemas.errors import LocalError
from schemas.lifecycle import fold_all
from schemas.records import decode_record

TABLE = (
    Metric("things_total", Kind.COUNTER, "things", ("kind",)),
    Metric("level", Kind.GAUGE, "a level"),
    Metric("work_seconds", Kind.HISTOGRAM, "work"),
)


def test_log_lines_are_json_with_their_component(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is one line with a name, a time, a level and its fields; libraries' warnings too."""
    configure_logging("here", json=True)
    structlog.get_logger().info("thing_happened", number=3)
    logging.getLogger("library").warning("odd")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["component"], ours["number"], ours["level"]) == ("thing_happened", "here", 3, "info")
    assert (theirs["event"], theirs["component"]) == ("odd", "here")


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x"), [b"x"], {"a": {"b": b"x"}}, {b"x": 1}])
def test_bytes_are_never_logged(value: object) -> None:
    """A field with bytes in it, however deep, is our mistake and is not written."""
    configure_logging("here", json=True)
    with pytest.raises(LocalError):
        structlog.get_logger().info("thing_happened", field=value)


def test_metrics_come_from_their_table_alone() -> None:
    """A name that the table lacks, or of another kind, is our mistake."""
    metrics = Metrics(TABLE)
    metrics.counter("things_total").labels(kind="a").inc()
    metrics.gauge("level").set(2)
    metrics.histogram("work_seconds").observe(0.1)
    assert b'things_total{kind="a"} 1.0' in metrics.expose()
    with pytest.raises(LocalError):
        metrics.counter("nothing_total")
    with pytest.raises(LocalError):
        metrics.gauge("things_total")


async def test_health_says_which_check_fails(tmp_path: Path) -> None:
    """200 when all is well, 503 with the check's own words when not; the run file says where to ask."""
    fault = ""

    async def check() -> str:
        return fault

    data = DataDir(tmp_path)
    async with HealthServer(data, "worker", {"kafka": check}, Metrics(TABLE)) as server:
        note = json.loads((data.run / "worker.json").read_text())
        assert note["health"] == server.url
        assert await http_get(server.url) == (200, b'{"status": "ok", "checks": {"kafka": "ok"}}\n')
        fault = "away"
        status, body = await http_get(server.url)
        assert (status, explain_health(status, body)) == (503, "kafka: away")
        assert (await http_get(server.url.replace("healthz", "metrics")))[1].startswith(b"# HELP")
        assert (await http_get(server.url.replace("healthz", "nothing")))[0] == 404
    assert not (data.run / "worker.json").exists()


async def test_junk_on_the_health_port_hurts_nobody(tmp_path: Path) -> None:
    """A client that sends no HTTP is hung up on, and the next is served."""
    async with HealthServer(DataDir(tmp_path), "worker", {}, Metrics(TABLE)) as server:
        host, port = server.url.removeprefix("http://").removesuffix("/healthz").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"x" * 20_000)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert (await http_get(server.url))[0] == 200


class Topic:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes]] = []
        self.came = asyncio.Event()

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        self.records.append((topic, value, key))
        self.came.set()

    def events(self) -> list[dict[str, object]]:
        return [decode_record(value, "lifecycle_event") for topic, value, _ in self.records if topic == "t-lifecycle"]


def reporter(topic: Topic, heartbeat_s: float = 60) -> Reporter:
    settings = Settings(kafka=KafkaSettings(topic_prefix="t-"), node=NodeSettings(id="n", heartbeat_s=heartbeat_s))
    return Reporter(settings, "gateway", topic, address="h:1", clock_ms=lambda: 7)


async def test_a_process_joins_is_ready_drains_and_leaves() -> None:
    """The facts fold to a node that has left; all carry one incarnation and the node's id as key."""
    topic = Topic()
    async with reporter(topic) as life:
        await life.ready()
        assert fold_all(topic.events()).nodes["n/gateway"].state == "ready"
        await life.draining("stop")
    events = topic.events()
    assert [it["event"] for it in events] == ["joined", "ready", "draining", "left"]
    assert len({it["incarnation"] for it in events}) == 1
    assert {key for _, _, key in topic.records} == {b"n/gateway"}
    assert fold_all(events).nodes["n/gateway"].state == "left"


async def test_what_kafka_does_not_take_yet_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that started before Kafka had our topics joins as soon as it has."""
    monkeypatch.setattr("infra.lifecycle.TELL_AGAIN_S", 0.001)
    refusals = [KafkaError("no such topic"), KafkaError("no such topic")]

    class Late(Topic):
        async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
            if refusals:
                raise refusals.pop()
            await super().send_and_wait(topic, value, key)

    topic = Late()
    life = reporter(topic)
    await until_told(life.joined)
    await until_told(life.ready)
    await life.left()
    assert [it["event"] for it in topic.events()] == ["joined", "ready", "left"]


async def test_an_error_is_the_reason_of_leaving() -> None:
    """A process that ends by an error says which."""
    topic = Topic()
    with pytest.raises(ValueError, match="x"):
        async with reporter(topic):
            raise ValueError("x")
    assert topic.events()[-1]["detail"] == {"reason": "ValueError"}


async def test_heartbeats_go_on_between() -> None:
    """Beats come by themselves, at the interval that they announce."""
    topic = Topic()
    async with reporter(topic, heartbeat_s=0.01), asyncio.timeout(60):
        while sum(name == "t-heartbeats" for name, _, _ in topic.records) < 3:
            topic.came.clear()
            await topic.came.wait()
    beat = decode_record(next(value for name, value, _ in topic.records if name == "t-heartbeats"), "heartbeat")
    assert (beat["id"], beat["interval_ms"]) == ("n/gateway", 10)
