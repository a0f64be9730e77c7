"""The disk spool, killed: at every byte of a write, and with every kind of damage; every envelope is accounted for."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from agent.clock import ManualClock, SystemClock
from agent.disk_spool import DiskSpool, open_spool
from agent.gap import GapReason, Mark
from agent.journal import HEAD_BYTES
from agent.settings import SpoolSettings
from schemas.errors import ConfigError
from schemas.kinds import StreamKind

EPOCH = b"e" * 32
SETTINGS = SpoolSettings(commit_ms=0)


def mark(sequence: int, kind: StreamKind = StreamKind.SCREEN) -> Mark:
    return Mark(kind, EPOCH, sequence, 1_000_000 * sequence, 1_000_000 * sequence + 500_000)


def envelope(sequence: int, size: int = 40) -> bytes:
    return (b"envelope %d " % sequence).ljust(size, b".")


async def fill(spool: DiskSpool, count: int, size: int = 40) -> None:
    spool.recording(frozenset({"screen"}))
    for sequence in range(count):
        spool.append(envelope(sequence, size), mark(sequence))
    await spool.flush()


def abandon(spool: DiskSpool) -> None:
    """What a kill leaves: no close, no clean ledger; the lock goes with the process."""
    spool._keeper.cancel()
    spool._shelf.close()
    os.close(spool._lock)


def drain(spool: DiskSpool) -> list[bytes]:
    taken = []
    while lent := spool.take(1 << 20):
        taken += [one.envelope for one in lent]
    return taken


def journal(directory: Path) -> Path:
    """The one volume that holds something."""
    return max(directory.glob("*.journal"), key=lambda path: path.stat().st_size)


async def killed_with(directory: Path, count: int) -> None:
    spool = await open_spool(directory, SETTINGS, SystemClock())
    await fill(spool, count)
    await asyncio.sleep(0)
    abandon(spool)


async def test_every_prefix_of_the_journal_recovers_with_whole_envelopes_and_a_gap(tmp_path: Path) -> None:
    """Cut at any byte, the spool gives back exactly the envelopes that were whole, and owes a gap from the last on."""
    await killed_with(tmp_path / "whole", 3)
    data = journal(tmp_path / "whole").read_bytes()
    entry = HEAD_BYTES + len(envelope(0))
    assert len(data) == 3 * entry
    for cut in range(len(data) + 1):
        directory = tmp_path / "cut"
        shutil.copytree(tmp_path / "whole", directory)
        journal(directory).write_bytes(data[:cut])
        spool = await open_spool(directory, SETTINGS, ManualClock())
        whole = cut // entry
        assert drain(spool) == [envelope(sequence) for sequence in range(whole)]
        (gap,) = [owed.gap for owed in spool.owed()]
        assert (gap.stream, gap.reason) == ("screen", GapReason.AGENT_KILLED)
        assert gap.until_us == ManualClock().now_us()
        assert gap.from_us
        if whole:
            assert (gap.first_sequence, gap.from_us) == (whole, mark(whole - 1).until_us)
        spool.append(envelope(9), mark(9))
        await spool.flush()
        assert drain(spool) == [envelope(9)]
        await spool.close()
        shutil.rmtree(directory)


async def test_what_follows_a_recovery_survives_the_next_kill(tmp_path: Path) -> None:
    """Killed again and again with a torn tail each time, the spool keeps everything that was durable, in order."""
    for run in range(4):
        spool = await open_spool(tmp_path, SETTINGS, SystemClock())
        spool.append(envelope(run), mark(run))
        await spool.flush()
        volume = spool._shelf.active.path
        abandon(spool)
        with volume.open("ab") as file:
            file.write(b"SJE1 torn")
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    assert drain(spool) == [envelope(run) for run in range(4)]
    await spool.close()


async def test_a_clean_end_owes_nothing(tmp_path: Path) -> None:
    """After `close` the next start finds all envelopes and no gap."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 5)
    await spool.close()
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    assert spool.owed() == []
    assert drain(spool) == [envelope(sequence) for sequence in range(5)]
    await spool.close()


async def test_a_kill_with_an_empty_journal_still_leaves_a_gap(tmp_path: Path) -> None:
    """When everything was acknowledged before the kill, the ledger still knows where each stream stood."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 2)
    spool.release(spool.take(1 << 20)[-1].number + 1)
    spool._ledger_urgent = True
    await spool._keep_ledger()
    abandon(spool)
    spool = await open_spool(tmp_path, SETTINGS, ManualClock())
    assert drain(spool) == []
    (gap,) = [owed.gap for owed in spool.owed()]
    assert (gap.reason, gap.first_sequence, gap.from_us) == (GapReason.AGENT_KILLED, 2, mark(1).until_us)
    await spool.close()


@pytest.mark.parametrize("place", ["head", "body"])
async def test_damage_in_the_middle_is_set_aside_and_named(tmp_path: Path, place: str) -> None:
    """A flipped bit costs that envelope alone: its bytes go to quarantine, and a gap gives its sequence."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 5)
    await spool.close()
    path = journal(tmp_path)
    data = bytearray(path.read_bytes())
    data[2 * (HEAD_BYTES + 40) + (20 if place == "head" else HEAD_BYTES + 7)] ^= 1
    path.write_bytes(data)
    for _ in range(2):  # the second start finds it mended, and the gap still owed
        spool = await open_spool(tmp_path, SETTINGS, SystemClock())
        (gap,) = [owed.gap for owed in spool.owed()]
        assert (gap.stream, gap.reason) == ("screen", GapReason.SPOOL_CORRUPT)
        assert (gap.first_sequence, gap.last_sequence, gap.epoch_id) == (2, 2, EPOCH)
        assert drain(spool) == [envelope(sequence) for sequence in (0, 1, 3, 4)]
        assert len(list((tmp_path / "quarantine").glob("*.damaged"))) == 1
        await spool.close()


async def test_damage_while_running_is_mended_and_named(tmp_path: Path) -> None:
    """A disk that goes bad under a running agent costs what it damaged, and the rest is lent in order."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 5)
    assert [one.number for one in spool.take(80)] == [0, 1]
    path = journal(tmp_path)
    data = bytearray(path.read_bytes())
    data[3 * (HEAD_BYTES + 40) + HEAD_BYTES] ^= 1
    path.write_bytes(data)
    taken = drain(spool)
    await asyncio.wait_for(spool.more(), 10)
    taken += drain(spool)
    assert taken == [envelope(2), envelope(4)]
    (gap,) = [owed.gap for owed in spool.owed()]
    assert (gap.reason, gap.first_sequence, gap.last_sequence) == (GapReason.SPOOL_CORRUPT, 3, 3)
    spool.rewind()
    assert drain(spool) == [envelope(sequence) for sequence in (0, 1, 2, 4)]
    await spool.close()


async def test_a_damaged_ledger_makes_envelopes_come_twice_rather_than_never(tmp_path: Path) -> None:
    """Without its ledger the spool offers all that the journal holds, and owes a gap."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 4)
    spool.release(spool.take(80)[-1].number + 1)
    await spool.close()
    ledger = tmp_path / "ledger"
    ledger.write_bytes(ledger.read_bytes().replace(b'"head": 2', b'"head": 4'))
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    assert drain(spool) == [envelope(sequence) for sequence in range(4)]
    assert [owed.gap.reason for owed in spool.owed()] == [GapReason.AGENT_KILLED]
    await spool.close()


async def test_released_envelopes_do_not_come_back_after_a_clean_end(tmp_path: Path) -> None:
    """What the server has is not sent again."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 4)
    spool.release(spool.take(80)[-1].number + 1)
    await spool.close()
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    assert drain(spool) == [envelope(2), envelope(3)]
    await spool.close()


async def test_a_second_agent_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    """Two agents on one directory would tear each other's journal."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    with pytest.raises(ConfigError, match="another agent"):
        await open_spool(tmp_path, SETTINGS, SystemClock())
    await spool.close()


async def test_junk_for_a_journal_stops_nothing(tmp_path: Path) -> None:
    """A volume of random bytes goes to quarantine whole; the spool works."""
    (tmp_path / "quarantine").mkdir()
    (tmp_path / f"{0:020d}.journal").write_bytes(os.urandom(100_000))
    (tmp_path / f"{7:020d}.journal").write_bytes(b"")
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 1)
    assert drain(spool) == [envelope(0)]
    assert {owed.gap.reason for owed in spool.owed()} == {GapReason.SPOOL_CORRUPT, GapReason.AGENT_KILLED}
    await spool.close()


async def test_a_volume_that_cannot_be_read_is_moved_aside_and_told(tmp_path: Path) -> None:
    """The rest of the spool goes on; what was in it is a gap of every stream that was recorded."""
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    await fill(spool, 3)
    await spool.close()
    path = journal(tmp_path)
    path.unlink()
    path.mkdir()  # reading it fails as a bad disk's file does
    spool = await open_spool(tmp_path, SETTINGS, SystemClock())
    assert drain(spool) == []
    assert {(owed.gap.stream, owed.gap.reason) for owed in spool.owed()} == {("screen", GapReason.SPOOL_CORRUPT)}
    assert (tmp_path / "quarantine" / path.name).exists()
    spool.append(envelope(3), mark(3))
    await spool.flush()
    assert drain(spool) == [envelope(3)]
    await spool.close()


async def test_a_spool_directory_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    """The person learns which directory, and why."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be used"):
        await open_spool(tmp_path / "file" / "spool", SETTINGS, SystemClock())
