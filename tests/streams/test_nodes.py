"""Lost nodes: told when they are silent, never when the watcher was deaf."""

from __future__ import annotations

import asyncio

import pytest

from schemas.records import decode_record, encode_record
from streams.delivery import Delivery
from streams.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.nodes import NodeWatcher
from streams.watch import Watch, Witness
from tests.streams.rig import until


def fact(event: str, node: str = "n/gateway", incarnation: str = "one") -> dict:
    return {
        "time_ms": 1, "subject": "node", "id": node, "event": event, "role": "gateway", "address": "",
        "incarnation": incarnation, "reporter": node, "detail": {},
    }  # fmt: skip


def beat(node: str = "n/gateway", incarnation: str = "one") -> dict:
    return {"time_ms": 1, "id": node, "role": "gateway", "incarnation": incarnation, "interval_ms": 3000}


def watching(*events: dict, now: float = 0.0) -> Watch:
    watch = Watch()
    for event in events:
        watch.learn(event, now)
    return watch


def names(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["id"], event["event"]) for event in events]


def test_a_silent_node_is_lost_after_its_missed_heartbeats():
    """Four intervals without a beat, and not before."""
    watch = watching(fact("joined"), fact("ready"))
    watch.hear(beat(), 5.0)
    assert watch.overdue(16.9, 0) == []
    assert names(watch.overdue(17.0, 0)) == [("n/gateway", "lost")]


def test_a_node_that_left_or_is_lost_already_is_not_lost_again():
    """Facts that end a life end the watch."""
    assert watching(fact("joined"), fact("left")).overdue(1e9, 0) == []
    assert watching(fact("joined"), fact("lost")).overdue(1e9, 0) == []


def test_a_new_incarnation_has_its_full_time():
    """Beats of the life before do not count, and neither does its silence."""
    watch = watching(fact("joined"))
    watch.learn(fact("joined", incarnation="two"), 11.0)
    assert watch.hear(beat(), 12.0) is None
    assert watch.overdue(22.0, 0) == []
    assert names(watch.overdue(23.1, 0)) == [("n/gateway", "lost")]


def test_time_in_which_nothing_could_be_heard_is_not_held_against_anyone():
    """After an excuse every node has its full time again."""
    watch = watching(fact("joined"), fact("joined", node="m/sink"))
    watch.excuse(1000.0)
    assert watch.overdue(1011.9, 0) == []
    assert len(watch.overdue(1012.0, 0)) == 2


def test_a_judge_takes_its_own_silence_for_a_topic_that_is_shut():
    """Before anybody else would be given up; others' heartbeats do not count as its own."""
    witness = Witness("n/streams-1", 0.0)
    witness.hear(beat("n/streams-1"), 3.0)
    witness.hear(beat("n/gateway"), 9.0)
    assert not witness.silent(10.0)
    assert witness.silent(10.1)
    witness.hear(beat("n/streams-1"), 11.0)
    assert not witness.silent(11.0)


def test_a_lost_node_that_beats_on_is_ready_again():
    """It was silent, not dead."""
    watch = watching(fact("joined"), fact("ready"), fact("lost"))
    event = watch.hear(beat(), 1.0)
    assert event is not None
    assert event["event"] == "ready"
    watch.learn(event, 1.0)
    assert watch.nodes["n/gateway"].state == "ready"
    assert watch.hear(beat(), 2.0) is None


class Rig:
    """A watcher on an in-memory broker, with a clock that the test turns."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.now = 0.0
        self.heartbeats = MemoryConsumer(broker, "nodes")
        self.watcher = NodeWatcher(
            self.heartbeats,
            lambda: MemoryConsumer(broker),
            Delivery(MemoryProducer(broker)),
            reporter="n/streams-1",
            clock=lambda: self.now,
            clock_ms=lambda: int(self.now * 1000),
        )

    async def start(self) -> None:
        self.task = asyncio.create_task(self.watcher.run())
        await until(lambda: self.heartbeats in self.broker.members["nodes"])
        await self.broker.rebalance("nodes")
        await until(lambda: bool(self.watcher.watch.nodes))

    async def turn(self, seconds: float, *, beating: bool = False, shut: bool = False) -> None:
        """Let time pass in steps that the watcher can follow; while `shut`, not even its own heartbeats come."""
        for _ in range(int(seconds)):
            if not shut:
                self.broker.append("heartbeats", encode_record("heartbeat", beat("n/streams-1")), b"n/streams-1")
            if beating:
                self.broker.append("heartbeats", encode_record("heartbeat", beat()), b"n/gateway")
            self.now += 1.0
            self.broker.arrived.set()
            for _ in range(30):
                self.broker.arrived.set()
                await asyncio.sleep(0)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.heartbeats.stop()

    @property
    def lost(self) -> list[str]:
        facts = [record.value for record in self.broker.records("lifecycle") if record.value.startswith(b"\0")]
        events = [decode_record(value, "lifecycle_event") for value in facts]
        return [event["id"] for event in events if event["event"] == "lost"]


@pytest.fixture
async def broker():
    broker = MemoryBroker(partitions=1)
    for event in ("joined", "ready"):
        broker.append("lifecycle", encode_record("lifecycle_event", fact(event)), b"n/gateway")
    return broker


async def test_a_node_that_stops_beating_is_told_once(broker):
    """While it beats nothing is told; after its silence one `lost`, however long that lasts."""
    rig = Rig(broker)
    await rig.start()
    await rig.turn(40, beating=True)
    assert rig.lost == []
    await rig.turn(60)
    assert rig.lost == ["n/gateway"]
    await rig.stop()


async def test_a_watcher_that_was_away_tells_no_false_loss(broker):
    """A watcher that starts late, or stood still for minutes, gives everyone their full time first."""
    rig = Rig(broker)
    rig.now = 5000.0
    await rig.start()
    await rig.turn(8)
    assert rig.lost == []
    await rig.turn(4, beating=True)
    rig.now += 300.0
    await rig.turn(8)
    assert rig.lost == []
    await rig.turn(20)
    assert rig.lost == ["n/gateway"]
    await rig.stop()


async def test_an_absent_broker_makes_nobody_lost(broker):
    """What cannot be heard because Kafka is away is not held against the nodes."""
    rig = Rig(broker)
    await rig.start()
    await rig.turn(5, beating=True)
    broker.away = True
    await rig.turn(120)
    broker.away = False
    await rig.turn(5)
    await rig.turn(40, beating=True)
    assert rig.lost == []
    await rig.stop()


async def test_a_topic_that_takes_no_heartbeats_makes_nobody_lost(broker):
    """A broker is gone: all can be read, and nobody can write, the judge neither. Then everybody has their time."""
    rig = Rig(broker)
    await rig.start()
    await rig.turn(20, beating=True)
    await rig.turn(90, shut=True)
    assert rig.lost == []
    await rig.turn(10)
    assert rig.lost == []
    await rig.turn(20, beating=True)
    await rig.turn(9)
    assert rig.lost == []
    await rig.turn(20)
    assert rig.lost == ["n/gateway"]
    await rig.stop()


async def test_only_the_holder_of_the_heartbeats_judges(broker):
    """Of two watchers one tells; when it goes, the other goes on and tells nothing twice."""
    first, second = Rig(broker), Rig(broker)
    await first.start()
    second.task = asyncio.create_task(second.watcher.run())
    await until(lambda: second.heartbeats in broker.members["nodes"])
    await broker.rebalance("nodes")
    await asyncio.gather(first.turn(40), second.turn(40))
    assert first.lost == ["n/gateway"]
    assert [first.watcher.watching, second.watcher.watching].count(True) == 1
    await first.stop()
    await until(lambda: second.watcher.watching)
    await second.turn(40)
    assert second.lost == ["n/gateway"]
    await second.stop()


async def test_junk_on_the_topics_does_not_stop_the_watch(broker):
    """A stranger's bytes are passed by."""
    rig = Rig(broker)
    await rig.start()
    broker.append("heartbeats", b"junk")
    broker.append("lifecycle", b"junk")
    await rig.turn(40)
    assert rig.lost == ["n/gateway"]
    await rig.stop()
