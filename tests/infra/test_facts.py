"""A node tells of itself, whenever Kafka comes, and never holds up its own end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from infra.settings import KafkaSettings, NodeSettings, PostgresqlSettings, Settings
from infra.stack import facts
from infra.stack.facts import telling
from schemas.records import Record, decode_record


class Broker:
    """Takes records while it is there; while it `hangs` it takes nothing and says nothing."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.hangs = False
        self.facts: list[Record] = []
        self.beats = 0
        self.news = asyncio.Event()

    def producer(self, _settings: Settings) -> Broker:
        return self

    async def start(self) -> None:
        if not self.there:
            raise KafkaConnectionError

    async def stop(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        if not self.there:
            raise KafkaConnectionError
        assert key == b"app-3/node"
        if topic == "heartbeats":
            self.beats += 1
        else:
            self.facts.append(decode_record(value, "lifecycle_event"))
            self.news.set()
            self.news = asyncio.Event()

    @property
    def told(self) -> list[str]:
        return [fact["event"] for fact in self.facts]

    async def until(self, *events: str) -> None:
        async with asyncio.timeout(20):
            while self.told != list(events):
                await self.news.wait()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An application server's, without Kafka and without PostgreSQL within reach."""
    for name, value in (("RETRY_S", 0.01), ("_LOOK_S", 0.01), ("FAREWELL_S", 0.2), ("LET_GO_S", 0.2)):
        monkeypatch.setattr(facts, name, value)
    node = NodeSettings(id="app-3", roles=["app"], advertise="10.0.0.7", data_dir=tmp_path, heartbeat_s=0.01)
    return Settings(node=node, kafka=KafkaSettings(), postgresql=PostgresqlSettings(dsn="postgresql://127.0.0.1:1/x"))


async def test_a_node_tells_its_life_and_its_machine(settings: Settings) -> None:
    """Joined and ready with roles, version and machine; draining with the stop; left at the end; beats between."""
    broker, stop, ready = Broker(), asyncio.Event(), asyncio.Event()
    async with telling(settings, stop, ready.is_set, make_producer=broker.producer):
        await broker.until("joined")
        ready.set()
        await broker.until("joined", "ready")
        stop.set()
        await broker.until("joined", "ready", "draining")
    assert broker.told == ["joined", "ready", "draining", "left"]
    assert broker.beats > 0
    first = broker.facts[0]
    assert (first["id"], first["role"], first["address"]) == ("app-3/node", "node", "10.0.0.7")
    assert set(first["detail"]) == {"roles", "version", "cores", "memory_mib", "host", "kernel"}
    assert first["detail"]["roles"] == "app"
    assert len({fact["incarnation"] for fact in broker.facts}) == 1


async def test_kafka_that_comes_late_hears_of_it_then(settings: Settings) -> None:
    """The start does not wait for it."""
    broker, stop = Broker(there=False), asyncio.Event()
    async with telling(settings, stop, lambda: True, make_producer=broker.producer):
        await asyncio.sleep(0.05)
        assert broker.told == []
        broker.there = True
        await broker.until("joined", "ready")
        broker.there = False
        stop.set()
        await asyncio.sleep(0.05)
        broker.there = True
        await broker.until("joined", "ready", "draining")


async def test_a_broker_that_stops_with_the_node_hears_of_it_first(settings: Settings) -> None:
    """A master's own Kafka is gone by the end: it is told with the stop that the node has left."""
    node = settings.node.model_copy(update={"roles": ["master"]})
    broker, stop = Broker(), asyncio.Event()
    async with telling(settings.model_copy(update={"node": node}), stop, lambda: True, make_producer=broker.producer):
        await broker.until("joined", "ready")
        stop.set()
        await broker.until("joined", "ready", "draining", "left")
        broker.hangs = True


@pytest.mark.parametrize("there", [False, True])
async def test_kafka_that_is_away_or_silent_holds_nothing_up(settings: Settings, *, there: bool) -> None:
    """Neither a refused connection nor one that never answers keeps the node from ending."""
    broker, stop = Broker(there=there), asyncio.Event()
    async with asyncio.timeout(20):
        async with telling(settings, stop, lambda: True, make_producer=broker.producer):
            if there:
                await broker.until("joined", "ready")
            broker.hangs = there
            stop.set()


async def test_a_node_that_fails_leaves_with_the_reason(settings: Settings) -> None:
    """What ended it is told, and is not hidden."""
    broker = Broker()

    async def fail() -> None:
        async with telling(settings, asyncio.Event(), lambda: False, make_producer=broker.producer):
            await broker.until("joined")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (broker.facts[-1]["event"], broker.facts[-1]["detail"]) == ("left", {"reason": "ZeroDivisionError"})
