"""What every spool keeps to, and what the one on disk does at its limits."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.clock import ManualClock, SystemClock
from agent.disk_spool import PENDING_BYTES, open_spool
from agent.gap import Gap, GapReason, Mark
from agent.memory_spool import MemorySpool
from agent.recovery import LEDGER
from agent.settings import SpoolSettings
from agent.spool import Spool
from schemas.kinds import StreamKind
from tests.agent.patience import wait_until

EPOCH = b"s" * 32
FAST = SpoolSettings(commit_ms=0)


def mark(sequence: int, kind: StreamKind = StreamKind.SCREEN) -> Mark:
    return Mark(kind, EPOCH, sequence, sequence, sequence)


def envelope(sequence: int, size: int = 100) -> bytes:
    return (b"%d " % sequence).ljust(size, b"x")


def oldest_volume(directory: Path) -> Path:
    return min(directory.glob("*.journal"))


async def append(spool: Spool, sequences: range, size: int = 100) -> None:
    for sequence in sequences:
        spool.append(envelope(sequence, size), mark(sequence))
    await spool.flush()


@pytest.fixture(params=["disk", "memory"])
async def spool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Spool]:
    """An empty spool of each kind."""
    made: Spool = MemorySpool() if request.param == "memory" else await open_spool(tmp_path, FAST, SystemClock())
    yield made
    await made.close()


async def test_envelopes_come_back_in_order_within_the_bytes_asked_for(spool: Spool) -> None:
    """`take` lends from the front, never more than it may, and nothing twice."""
    await append(spool, range(5))
    assert [one.envelope for one in spool.take(250)] == [envelope(0), envelope(1)]
    assert spool.take(99) == []
    assert [one.envelope for one in spool.take(10_000)] == [envelope(2), envelope(3), envelope(4)]
    assert spool.take(10_000) == []


async def test_what_was_lent_and_not_released_comes_again(spool: Spool) -> None:
    """After `rewind` the first envelope that has no ack is the next one."""
    await append(spool, range(4))
    numbers = [one.number for one in spool.take(10_000)]
    spool.release(numbers[1] + 1)
    spool.rewind()
    assert [one.envelope for one in spool.take(10_000)] == [envelope(2), envelope(3)]
    assert spool.backlog().envelopes == 2


async def test_release_is_cumulative_and_may_come_twice(spool: Spool) -> None:
    """An ack that repeats what is known changes nothing."""
    await append(spool, range(3))
    last = spool.take(10_000)[-1].number
    for _ in range(2):
        spool.release(last + 1)
    assert spool.backlog().envelopes == 0
    await append(spool, range(3, 5))
    assert [one.envelope for one in spool.take(10_000)] == [envelope(3), envelope(4)]


async def test_more_wakes_when_there_is_something_to_take(spool: Spool) -> None:
    """A reader that waits is woken by what is appended."""
    waiting = asyncio.create_task(spool.more())
    await asyncio.sleep(0)
    assert not waiting.done()
    await append(spool, range(1))
    await asyncio.wait_for(waiting, 60)
    assert len(spool.take(1000)) == 1


async def test_a_refused_envelope_becomes_a_gap_that_names_it(spool: Spool) -> None:
    """`quarantine` owes a gap with epoch, sequence and reason, until it is settled."""
    await append(spool, range(2))
    number = spool.take(10_000)[1].number
    spool.quarantine(number, "too_large: 9 MB")
    await asyncio.wait_for(spool.gap_owed(), 5)
    (owed,) = spool.owed()
    assert owed.gap == Gap(
        "screen", GapReason.NOT_STORABLE, EPOCH, 1, 1, 1, 1, lost_bytes=100, detail="too_large: 9 MB"
    )
    spool.settle([owed.id])
    assert spool.owed() == []


async def test_a_quarantined_envelope_is_kept_for_a_person_to_look_at(tmp_path: Path) -> None:
    """It lies in `quarantine/`, whole, whatever happens to the journal."""
    spool = await open_spool(tmp_path, FAST, SystemClock())
    await append(spool, range(1))
    (one,) = spool.take(1000)
    spool.quarantine(one.number, "malformed")
    spool.release(one.number + 1)
    await spool.close()
    (aside,) = (tmp_path / "quarantine").iterdir()
    assert aside.read_bytes() == envelope(0)


async def test_what_was_refused_is_deleted_after_its_gap_is_durable(tmp_path: Path) -> None:
    """A refusal and an acknowledgement in one read: killed at any moment, the gap or the envelope is on disk."""
    spool = await open_spool(tmp_path, SpoolSettings(max_bytes=4_000_000, commit_ms=0), SystemClock())
    await append(spool, range(1), size=70_000)
    await append(spool, range(1, 2))
    volume = oldest_volume(tmp_path)
    (first,), (second,) = spool.take(1_000_000), spool.take(1_000_000)
    spool.quarantine(first.number, "too large")
    spool.release(second.number + 1)
    assert volume.exists(), "the gap is in memory alone"
    await wait_until(lambda: not volume.exists())
    ledger = (tmp_path / LEDGER).read_text("utf-8")
    assert "not_storable" in ledger
    await spool.close()


async def test_nothing_is_dropped_while_its_gap_cannot_be_written(tmp_path: Path) -> None:
    """A ledger that cannot be written is tried again until it is durable; only then the oldest volumes go."""
    settings = SpoolSettings(max_bytes=4_000_000, commit_ms=0)
    spool = await open_spool(tmp_path, settings, SystemClock())
    await append(spool, range(1))
    await wait_until((tmp_path / LEDGER).exists)
    (tmp_path / LEDGER).unlink()
    (tmp_path / LEDGER).mkdir()
    await append(spool, range(1, 70), size=100_000)
    await wait_until(lambda: bool(spool.owed()))
    assert spool.backlog().bytes > settings.max_bytes
    assert spool.backlog().envelopes == 70
    (tmp_path / LEDGER).rmdir()
    await wait_until(lambda: spool.backlog().bytes <= settings.max_bytes)
    assert "spool_full" in (tmp_path / LEDGER).read_text("utf-8")
    gaps = [(owed.gap.first_sequence, owed.gap.last_sequence) for owed in spool.owed()]
    assert len(set(gaps)) == len(gaps), "each loss is told once"
    await spool.close()


async def test_a_full_spool_drops_the_oldest_and_owes_exactly_what_went(tmp_path: Path) -> None:
    """What is left is the newest, in order; the gap names the rest: none is in both, none in neither."""
    limits = SpoolSettings(commit_ms=0, max_bytes=4_000_000)
    spool = await open_spool(tmp_path, limits, SystemClock())
    for start in range(0, 900, 50):
        await append(spool, range(start, start + 50), 10_000)
    await wait_until(lambda: spool._shelf.size <= limits.max_bytes)
    assert journal_bytes(tmp_path) <= limits.max_bytes
    left = [int(one.envelope.split()[0]) for one in spool.take(1 << 30)]
    while taken := spool.take(1 << 30):
        left += [int(one.envelope.split()[0]) for one in taken]
    gaps = [owed.gap for owed in spool.owed()]
    assert {gap.reason for gap in gaps} == {GapReason.SPOOL_FULL}
    dropped = [s for gap in gaps for s in range(gap.first_sequence or 0, (gap.last_sequence or 0) + 1)]
    assert dropped + left == list(range(900))
    assert sum(gap.lost_bytes for gap in gaps) == len(dropped) * 10_000
    await spool.close()


async def test_an_envelope_that_waited_a_day_is_dropped_with_a_gap(tmp_path: Path) -> None:
    """Age is bounded too, and time that passed is told."""
    clock = ManualClock()
    spool = await open_spool(tmp_path, FAST, clock)
    await append(spool, range(3))
    for _ in range(26):
        await clock.advance(3600)
        await wait_until(lambda: True)
    await append(spool, range(3, 5))
    await wait_until(lambda: spool.backlog().envelopes == 2)
    assert [one.envelope for one in spool.take(1000)] == [envelope(3), envelope(4)]
    (gap,) = [owed.gap for owed in spool.owed()]
    assert (gap.reason, gap.first_sequence, gap.last_sequence) == (GapReason.SPOOL_EXPIRED, 0, 2)
    await spool.close()


async def test_a_disk_that_refuses_costs_nothing_while_memory_lasts(tmp_path: Path) -> None:
    """Envelopes wait in memory, are written once the disk takes them, and nothing is lost or repeated."""
    spool = await open_spool(tmp_path, FAST, SystemClock())
    await append(spool, range(3))
    with file_size_limit(350):
        for sequence in range(3, 6):
            spool.append(envelope(sequence), mark(sequence))
        await wait_until(lambda: spool._failing)
        await asyncio.wait_for(spool.room(), 5)
    await asyncio.wait_for(spool.flush(), 10)
    assert [one.envelope for one in spool.take(10_000)] == [envelope(sequence) for sequence in range(6)]
    assert spool.owed() == []
    await spool.close()


async def test_a_disk_that_goes_on_refusing_loses_the_oldest_in_memory_with_a_gap(tmp_path: Path) -> None:
    """Memory is bounded; what goes beyond is a gap, and the agent goes on."""
    spool = await open_spool(tmp_path, FAST, SystemClock())
    size = PENDING_BYTES // 8
    with file_size_limit(150):
        spool.append(envelope(0), mark(0))
        await wait_until(lambda: spool._failing)
        for sequence in range(1, 13):
            spool.append(envelope(sequence, size), mark(sequence))
        dropped = [s for owed in spool.owed() for s in range(owed.gap.first_sequence, owed.gap.last_sequence + 1)]
    await asyncio.wait_for(spool.flush(), 10)
    left = []
    while taken := spool.take(1 << 30):
        left += [int(one.envelope.split()[0]) for one in taken]
    assert dropped
    assert dropped + left == list(range(13))
    await spool.close()


async def test_what_is_appended_while_a_write_is_tried_again_is_not_lost_before_what_is_older(tmp_path: Path) -> None:
    """However much there is at once, only the oldest goes, and each that went is named."""
    spool = await open_spool(tmp_path, FAST, SystemClock())
    size = PENDING_BYTES // 8
    with file_size_limit(150):
        for sequence in range(10):
            spool.append(envelope(sequence, size), mark(sequence))
        await wait_until(lambda: spool._failing and bool(spool._pending))
        await wait_until(lambda: spool._writing)
        for sequence in range(10, 12):
            spool.append(envelope(sequence, size), mark(sequence))
        await wait_until(lambda: not spool._writing)
        dropped = [s for owed in spool.owed() for s in range(owed.gap.first_sequence, owed.gap.last_sequence + 1)]
    await asyncio.wait_for(spool.flush(), 10)
    left = []
    while taken := spool.take(1 << 30):
        left += [int(one.envelope.split()[0]) for one in taken]
    assert (dropped, left) == (list(range(4)), list(range(4, 12)))
    await spool.close()


CHILD = """
import asyncio, sys
from pathlib import Path
from agent.clock import SystemClock
from agent.disk_spool import open_spool
from agent.gap import Mark
from agent.settings import SpoolSettings
from schemas.kinds import StreamKind

async def main():
    spool = await open_spool(Path(sys.argv[1]), SpoolSettings(commit_ms=1, max_bytes=40_000_000), SystemClock())
    spool.recording(frozenset({"screen"}))
    start = int(sys.argv[2])
    for sequence in range(start, start + 100_000):
        spool.append((b"%d " % sequence).ljust(100 + sequence * 7919 % 40_000, b"x"),
                     Mark(StreamKind.SCREEN, b"s" * 32, sequence, sequence, sequence))
        if sequence % 5 == 0:
            await spool.flush()
            print(sequence, flush=True)

asyncio.run(main())
"""


async def test_no_durable_envelope_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Killed at a random instant, again and again, the spool holds every envelope that it called durable, in order."""
    chance = random.Random(9)
    next_sequence, durable = 0, -1
    for _ in range(6):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(tmp_path), str(next_sequence), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        for _ in range(chance.randrange(1, 60)):
            durable = int(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).split()
        await process.wait()
        durable = int(rest[-1]) if rest else durable
        spool = await open_spool(tmp_path, FAST, SystemClock())
        assert GapReason.AGENT_KILLED in {owed.gap.reason for owed in spool.owed()}
        held = []
        while taken := spool.take(1 << 30):
            held += [int(one.envelope.split()[0]) for one in taken]
        assert held == list(range(len(held)))
        assert len(held) > durable
        next_sequence = len(held)
        await spool.close()


def journal_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.journal"))


class file_size_limit:  # noqa: N801
    """No file may grow beyond so many bytes: the kernel refuses writes as it does when a disk is full."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
