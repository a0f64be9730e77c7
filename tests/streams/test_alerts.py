"""The processor `alerts`: what it tells of documents and activity, across restarts, new rules and absent stores."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import UUID

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from infra.rules.book import RuleBook
from infra.rules.evaluate import World
from infra.rules.observation import Observation
from infra.rules.rule import Conditions, Rule
from schemas.errors import UnavailableError
from schemas.records import decode_record, encode_record
from streams.alerts import TOPICS, AlertProcessor
from streams.backoff import Backoff
from streams.body import Body, Patience
from streams.delivery import Delivery
from streams.incoming import incoming
from streams.lane import Lane, Limits
from streams.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.past import KafkaPast
from streams.sizes import SizeWatch
from streams.sole import SoleAssignor
from tests.streams.recording import START_MS
from tests.streams.rig import no_sleep, until

HOUR_MS = 3_600_000
NOON_MS = START_MS // HOUR_MS * HOUR_MS
AGENT = "00000000-0000-0000-0000-00000000000a"


def rule(number: int = 1, **conditions: object) -> Rule:
    return Rule(rule_id=UUID(int=number), name=f"rule {number}", conditions=Conditions.model_validate(conditions))


def volume(measure: str, more_than: float, within_minutes: int = 60) -> dict[str, object]:
    return {"measure": measure, "more_than": more_than, "within_minutes": within_minutes}


class Shelf:
    """Rules as PostgreSQL would have them; `away` it does not answer."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = list(rules)
        self.away = False
        self.book = RuleBook(self.read)

    async def read(self) -> tuple[list[Rule], World]:
        if self.away:
            raise UnavailableError("PostgreSQL does not answer")
        return list(self.rules), World()


class Judge:
    """A worker's lane `alerts` on a broker in memory."""

    def __init__(self, broker: MemoryBroker, shelf: Shelf) -> None:
        backoff = Backoff(sleep=no_sleep)
        self.broker = broker
        self.consumer = MemoryConsumer(broker, "alerts")
        past = KafkaPast(lambda: MemoryConsumer(broker))
        self.processor = AlertProcessor(shelf.book, past, clock_ms=lambda: NOON_MS + HOUR_MS)
        body = Body(self.processor, Delivery(MemoryProducer(broker), backoff=backoff), Patience(backoff=backoff))
        limits = Limits(poll_ms=5, commit_s=0.0, finish_s=0.05)
        self.lane = Lane("alerts", TOPICS, self.consumer, body, limits=limits, backoff=backoff)

    async def start(self) -> None:
        self.task = asyncio.create_task(self.lane.run())
        await until(lambda: self.consumer in self.broker.members["alerts"])
        await self.broker.rebalance("alerts")

    async def settled(self) -> None:
        """Return when the group has committed all there is."""
        logs = {at: log for at, log in self.broker.logs.items() if at.topic in TOPICS}
        await until(lambda: all(self.broker.committed.get(("alerts", at), 0) >= len(log) for at, log in logs.items()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.consumer.stop()


@pytest.fixture
async def judge(broker):
    judges: list[Judge] = []

    async def begin(shelf: Shelf) -> Judge:
        if not shelf.away:
            await shelf.book.renew()
        judges.append(Judge(broker, shelf))
        await judges[-1].start()
        return judges[-1]

    yield begin
    for one in judges:
        await one.stop()


def push_document(broker: MemoryBroker, number: int, text: str, **fields: object) -> None:
    record = {
        "document_id": f"doc-{number}",
        "version": 1,
        "agent_id": AGENT,
        "epoch_id": "00",
        "sequence": number,
        "stream": "screen",
        "kind": "screen",
        "user": "ann",
        "computer": "pc-1",
        "time_ms": NOON_MS + number * 1000,
        "until_ms": NOON_MS + number * 1000,
        "text": text,
        **fields,
    }
    key = str(record["agent_id"]).encode()
    broker.append("documents", encode_record("document", record), key, timestamp_ms=NOON_MS + number * 1000)


def push_span(broker: MemoryBroker, number: int, application: str, minutes: float) -> None:
    from_ms = NOON_MS + number * 600_000
    length_ms = int(minutes * 60_000)
    record = {
        "agent_id": AGENT,
        "epoch_id": "00",
        "sequence": number,
        "ordinal": 0,
        "user": "ann",
        "computer": "pc-1",
        "application": application,
        "hour_ms": NOON_MS,
        "active_ms": length_ms,
        "idle_ms": 0,
        "switches": 1,
        "active": [{"from_ms": from_ms, "until_ms": from_ms + length_ms}],
    }
    broker.append("activity", encode_record("activity_span", record), AGENT.encode(), timestamp_ms=from_ms)


def told(broker: MemoryBroker) -> dict[str, dict]:
    """Alerts as a store has them: the first of each id."""
    found: dict[str, dict] = {}
    for record in broker.records("alerts"):
        alert = decode_record(record.value, "alert")
        found.setdefault(alert["alert_id"], alert)
    return found


async def test_a_document_that_a_rule_wants_raises_an_alert_without_its_text(broker, judge):
    """Who, when, which document and which rule; no other document, and none of the text."""
    worker = await judge(Shelf(rule(words=["invoice"])))
    push_document(broker, 1, "the Invoice is overdue", application="mail")
    push_document(broker, 2, "lunch")
    push_document(broker, 3, "", end_to_end=True, tokens=["AAAA"])
    await worker.settled()
    [alert] = told(broker).values()
    assert (alert["document_id"], alert["person"], alert["application"]) == ("doc-1", "ann", "mail")
    assert (alert["kind"], alert["severity"], alert["rule_name"]) == ("match", "medium", "rule 1")
    assert "overdue" not in repr(alert)


async def test_reading_again_makes_the_same_alerts(broker, judge):
    """After a restart from offset 0 every alert has the id that it had."""
    shelf = Shelf(rule(1, words=["invoice"]), rule(2, volume=volume("documents", 2)))
    worker = await judge(shelf)
    for number in range(5):
        push_document(broker, number, f"invoice {number}")
    await worker.settled()
    before = told(broker)
    assert len(before) == 6
    await worker.stop()
    broker.committed.clear()
    await (await judge(shelf)).settled()
    assert told(broker) == before
    assert len(broker.records("alerts")) > len(before)


async def test_a_window_is_counted_on_after_a_restart(broker, judge):
    """What was read before the restart counts, and what is read twice counts once."""
    shelf = Shelf(rule(volume=volume("documents", 3)))
    worker = await judge(shelf)
    for number in range(3):
        push_document(broker, number, "a")
    await worker.settled()
    assert told(broker) == {}
    await worker.stop()
    worker = await judge(shelf)
    push_document(broker, 2, "again")
    await worker.settled()
    assert told(broker) == {}
    push_document(broker, 3, "one more")
    await worker.settled()
    [alert] = told(broker).values()
    assert (alert["kind"], alert["until_ms"], alert["detail"]["amount"]) == ("documents", NOON_MS + HOUR_MS, "4")


async def test_people_are_counted_over_all_their_agents(broker, judge):
    """Two agents of a person, in whatever partitions, fill one window."""
    worker = await judge(Shelf(rule(volume=volume("documents", 5))))
    for number in range(6):
        push_document(broker, number, "x", agent_id=str(UUID(int=number)))
    push_document(broker, 7, "x", user="bob")
    await worker.settled()
    assert [alert["person"] for alert in told(broker).values()] == ["ann"]


async def test_minutes_in_an_application_add_up(broker, judge):
    """Only of that application, and only beyond the volume."""
    worker = await judge(Shelf(rule(applications=["game*"], volume=volume("active_minutes", 15))))
    push_span(broker, 0, "Games", 9)
    push_span(broker, 1, "Editor", 9)
    await worker.settled()
    assert told(broker) == {}
    push_span(broker, 2, "Games", 9)
    await worker.settled()
    [alert] = told(broker).values()
    assert (alert["kind"], alert["detail"]["amount"], alert["stream"]) == ("active_minutes", "18", "activity")


async def test_a_new_rule_counts_the_window_that_is_open(broker, judge):
    """What came before the rule within its window is counted as the preview counts it."""
    shelf = Shelf()
    worker = await judge(shelf)
    for number in range(4):
        push_document(broker, number, "a")
    await worker.settled()
    shelf.rules.append(rule(volume=volume("documents", 3)))
    await shelf.book.renew()
    push_document(broker, 5, "b")
    await worker.settled()
    assert len(told(broker)) == 1


async def test_no_record_passes_before_rules_are_known(broker, judge):
    """While PostgreSQL is away at the start records wait; later it may be away, and the last rules hold."""
    shelf = Shelf(rule(words=["invoice"]))
    shelf.away = True
    worker = await judge(shelf)
    push_document(broker, 1, "invoice")
    await until(lambda: worker.lane.body.waiting > 0)
    assert not broker.records("alerts")
    shelf.away = False
    await shelf.book.renew()
    await worker.settled()
    assert len(told(broker)) == 1
    shelf.away = True
    with pytest.raises(UnavailableError):
        await shelf.book.renew()
    push_document(broker, 2, "invoice")
    await worker.settled()
    assert len(told(broker)) == 2


async def test_junk_is_a_dead_letter_and_stops_nothing(broker, judge):
    """A stranger's bytes in the topic are told, and the next document is judged."""
    worker = await judge(Shelf(rule(words=["invoice"])))
    broker.append("documents", b"junk", AGENT.encode())
    push_document(broker, 1, "invoice")
    await worker.settled()
    assert len(told(broker)) == 1
    [letter] = [decode_record(record.value, "dead_letter") for record in broker.records("dead-letters")]
    assert letter["stage"] == "alerts"


async def test_what_was_not_delivered_is_owed(broker):
    """An alert of a window whose delivery failed goes out with the next record."""
    shelf = Shelf(rule(volume=volume("documents", 1)))
    await shelf.book.renew()
    processor = AlertProcessor(shelf.book, KafkaPast(lambda: MemoryConsumer(broker)), clock_ms=lambda: NOON_MS)
    for number in range(3):
        push_document(broker, number, "x")
    records = [incoming(record) for record in broker.records("documents")]
    assert await processor.process(records[0]) == []
    [first] = await processor.process(records[1])
    await processor.forget(records[1])
    [again] = await processor.process(records[2])
    assert again == first


async def test_sizes_are_told_once_a_window(broker):
    """Looking again finds the same window, and tells it no more; another hour is another window."""
    shelf = Shelf(rule(volume=volume("mebibytes", 1)))
    await shelf.book.renew()
    sizes = [
        Observation("envelopes", f"e{n}", NOON_MS + n * 60_000, AGENT, "ann", stream="screen", amount=700_000)
        for n in (0, 1, 2, 61, 62)
    ]

    async def read(since_ms: int, until_ms: int, more_than: float) -> list[Observation]:
        assert since_ms <= NOON_MS < until_ms
        assert more_than == 1024 * 1024
        return sizes

    watch = SizeWatch(
        shelf.book, read, Delivery(MemoryProducer(broker)), lambda: True, clock_ms=lambda: NOON_MS + HOUR_MS
    )
    for _ in range(2):
        await watch.look()
    assert len(broker.records("alerts")) == 2
    assert {alert["until_ms"] for alert in told(broker).values()} == {NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS}


def test_one_member_gets_every_partition():
    """The first by id reads all, the others nothing; without it the next one does."""
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1} if topic == "documents" else None)
    member = ConsumerProtocolMemberMetadata(0, list(TOPICS), b"")
    shares = SoleAssignor.assign(cluster, {"b": member, "a": member})
    assert dict(shares["a"].assignment) == {"activity": [], "documents": [0, 1]}
    assert shares["b"].assignment == []
    assert dict(SoleAssignor.assign(cluster, {"b": member})["b"].assignment)["documents"] == [0, 1]
