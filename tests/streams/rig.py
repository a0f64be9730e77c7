"""A miner on the in-memory broker: workers that can be started, stopped and killed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from infra.ocr.pool import ReaderDied, StateMissing
from schemas.opening import Opener
from schemas.records import Record, decode_record
from streams.backoff import Backoff
from streams.body import Body, Patience
from streams.delivery import Delivery
from streams.lane import Lane, Limits
from streams.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.mine import MINED_TOPICS, Miner
from streams.past import KafkaPast
from streams.warmup import WarmUp
from tests.streams.recording import server_identity


class CanvasText(NamedTuple):
    appeared: list[Record]
    went: list[Record]


class CanvasPool:
    """OCR of frames whose titles say what they show: `+word` adds one, `-word` takes it off, a key frame shows all.

    Like the real pool it needs the frame before, and says which words are new against it.
    """

    def __init__(self) -> None:
        self.canvases: dict[tuple[str, int], list[str]] = {}
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, agent: str, frames: list[Record], *, emit: bool = True) -> list[CanvasText]:
        self.reads += emit
        await self.gate.wait()
        texts = []
        for frame in frames:
            at = agent, frame["display"]
            if frame["title"] == "poison":
                self.canvases.clear()
                raise ReaderDied
            before = self.canvases.get(at)
            if before is None and not frame["key_frame"]:
                raise StateMissing
            words = list(before or [])
            if frame["key_frame"]:
                words = frame["title"].split()
            else:
                change, word = frame["title"][0], frame["title"][1:]
                words = [*words, word] if change == "+" else [one for one in words if one != word]
            self.canvases[at] = words
            new = [_line(word, frame) for word in words if word not in (before or [])]
            texts.append(CanvasText(new, [_line(word, frame, went=True) for word in before or [] if word not in words]))
        return texts if emit else []


def _line(word: str, frame: Record, *, went: bool = False) -> Record:
    time_ms = frame["time_us"] // 1000
    return {
        "text": word, "x": 0, "y": 0, "width": 9, "height": 9, "display": frame["display"],
        "appeared_ms": 0 if went else time_ms, "went_ms": time_ms if went else None,
    }  # fmt: skip


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


class Worker:
    """One worker's lane `mine`."""

    def __init__(self, broker: MemoryBroker, pool: CanvasPool | None = None, **limits) -> None:
        self.broker = broker
        self.pool = pool or CanvasPool()
        backoff = Backoff(sleep=no_sleep)
        self.consumer = MemoryConsumer(broker, "mine")
        self.warm_up = WarmUp(KafkaPast(lambda: MemoryConsumer(broker)))
        miner = Miner(Opener([server_identity()]), self.pool, self.warm_up)
        self.body = Body(miner, Delivery(MemoryProducer(broker), backoff=backoff), Patience(backoff=backoff))
        limits = {"poll_ms": 5, "commit_s": 0.0, "finish_s": 0.05, **limits}
        self.lane = Lane("mine", MINED_TOPICS, self.consumer, self.body, limits=Limits(**limits), backoff=backoff)

    async def start(self) -> None:
        self.task = asyncio.create_task(self.lane.run())
        await until(lambda: self.consumer in self.broker.members["mine"])
        await self.broker.rebalance("mine")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.consumer.stop()

    async def kill(self) -> None:
        """Vanish: nothing is committed, delivered or handed over from now on."""
        self.consumer.kill()
        self.lane.commit = no_commit
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.broker.rebalance("mine")


async def no_commit(_=None) -> None:
    return None


async def until(fact: Callable[[], bool], within_s: float = 5.0) -> None:
    """Return when it is so."""
    async with asyncio.timeout(within_s):
        while not fact():  # noqa: ASYNC110 - a test looks from outside; there is no event to wait for
            await asyncio.sleep(0)


async def mined(broker: MemoryBroker) -> None:
    """Return when the group has committed all that there is."""
    await until(lambda: caught_up(broker))


def caught_up(broker: MemoryBroker) -> bool:
    logs = {at: log for at, log in broker.logs.items() if at.topic in MINED_TOPICS}
    return all(broker.committed.get(("mine", at), 0) >= len(log) for at, log in logs.items())


def documents(broker: MemoryBroker) -> dict[str, Record]:
    """Documents as a store has them: the highest version of each id."""
    latest: dict[str, Record] = {}
    for record in broker.records("documents"):
        document = decode_record(record.value, "document")
        known = latest.get(document["document_id"])
        if known is None or document["version"] >= known["version"]:
            latest[document["document_id"]] = document
    return latest


def dead_letters(broker: MemoryBroker) -> list[Record]:
    return [decode_record(record.value, "dead_letter") for record in broker.records("dead-letters")]


def texts(broker: MemoryBroker) -> dict[str, list[str]]:
    """Texts of documents by agent, in the order of streams and time."""
    found: dict[str, list[str]] = defaultdict(list)
    for document in sorted(documents(broker).values(), key=lambda d: (d["stream"], d["time_ms"], d["sequence"])):
        found[document["agent_id"]].append(document["text"])
    return found
