"""The spool on disk: a journal in volumes, a ledger, and one task that keeps them.

Never lends an envelope before it is durable, and never deletes an unreleased one before the gap that it leaves is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog

from agent.bell import Bell
from agent.clock import Clock, wait_at_most
from agent.gap import Gap, GapReason, Mark, gaps_of
from agent.journal import EntryHead, build_entry, parse_head
from agent.ledger import Ledger
from agent.lock import lock_directory
from agent.recovery import LEDGER, QUARANTINE, Recovered, prepare, read_heads, recover, survey_volume
from agent.settings import SpoolSettings
from agent.shelf import Shelf
from agent.spool import Backlog, Lent, Owed
from agent.volume import DamagedError, Volume
from infra.files import write_whole
from schemas.errors import ConfigError

log = structlog.get_logger()

ROOM_BYTES = 4 * 1024 * 1024
"""Appended and not yet durable: beyond this, who records must wait."""

PENDING_BYTES = 16 * 1024 * 1024
"""While the disk refuses, this much is kept in memory; beyond it the oldest is lost, as a gap."""

RETRY_S = 1.0
LEDGER_S = 1.0
ROUND_S = 30.0
QUARANTINE_FILES = 100


class _Pending(NamedTuple):
    envelope: bytes
    mark: Mark


async def open_spool(directory: Path, settings: SpoolSettings, clock: Clock) -> DiskSpool:
    """The spool in `directory`, with what survived there; raises `ConfigError` when it cannot be had."""
    try:
        prepare(directory)
        lock = lock_directory(directory)
    except OSError as error:
        raise ConfigError(f"the spool {directory} cannot be used: {error.strerror}") from None
    state = await asyncio.to_thread(recover, directory, clock.now_us())
    return DiskSpool(directory, settings, clock, state, lock)


class DiskSpool:
    """`agent.spool.Spool` on a directory. Made by `open_spool`; `close` it."""

    def __init__(self, directory: Path, settings: SpoolSettings, clock: Clock, state: Recovered, lock: int) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._ledger: Ledger = state.ledger
        volume_bytes = max(65_536, min(8 * 1024 * 1024, settings.max_bytes // 64))
        self._shelf = Shelf(directory, state.volumes, state.ledger.head, volume_bytes)
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._appended = self._landed = 0
        self._failing = self._writing = self._damaged = self._closing = self._hurried = False
        self._condemned: Volume | None = None
        self._ledger_failing = False
        self._ledger_stale = self._ledger_urgent = True
        self._ledger_at = self._committed_at = clock.monotonic()
        self._bell = Bell()
        self._ledger.clean, self._ledger.recording = False, frozenset()
        self._keeper = asyncio.create_task(self._keep(), name="spool")
        self._keeper.add_done_callback(lambda _: self._bell.ring())

    def append(self, envelope: bytes, mark: Mark) -> None:
        """Take an envelope; it is durable soon after (`flush` waits for that), or owed as a gap."""
        self._pending.append(_Pending(envelope, mark))
        self._pending_bytes += len(envelope)
        self._appended += 1
        if self._failing and not self._writing:
            self._bound_pending()
        self._bell.ring()

    async def room(self) -> None:
        """Wait while more is being written than the disk keeps up with; a disk that refuses keeps nobody waiting."""
        await self._until(lambda: self._failing or self._pending_bytes <= ROOM_BYTES)

    async def flush(self) -> None:
        """Wait until whatever was appended so far is durable, or owed as a gap."""
        wanted = self._appended
        self._hurried = True
        self._bell.ring()
        await self._until(lambda: self._landed >= wanted)

    def take(self, max_bytes: int) -> list[Lent]:
        """The next durable envelopes, at most `max_bytes` of them; lent until they are released."""
        try:
            return [] if self._damaged else self._shelf.take(max_bytes)
        except DamagedError as error:
            log.warning("spool_damaged", at=str(error))
            self._damaged = True
            self._bell.ring()
            return []

    async def more(self) -> None:
        """Wait until `take` may give something that it did not give before."""
        await self._until(lambda: self._shelf.readable and not self._damaged)

    def rewind(self) -> None:
        """Offer again what was lent and not released: the connection was lost."""
        self._shelf.rewind()
        self._bell.ring()

    def release(self, next_number: int) -> None:
        """Forget every envelope below `next_number`: the server has them."""
        self._shelf.release(next_number)
        if not self._ledger_urgent:  # else a gap is owed that is not durable yet: what it stands for goes after it
            self._shelf.clear()
        self._ledger_stale = True
        self._bell.ring()

    def quarantine(self, number: int, reason: str) -> None:
        """Set aside a lent envelope that the server refuses for ever, and owe a gap for it."""
        loan = self._shelf.loan(number)
        if loan is None:
            return
        log.warning("envelope_quarantined", number=number, reason=reason)
        aside = self._directory / QUARANTINE
        try:
            for old in sorted(aside.glob("*.envelope"))[: -QUARANTINE_FILES + 1]:
                old.unlink()
            write_whole(aside / f"{number:020d}.envelope", loan.envelope)
        except OSError as error:
            log.warning("spool_quarantine_failed", number=number, reason=error.strerror)
        self._owe_all(gaps_of([(loan.head.mark, loan.head.length)], GapReason.NOT_STORABLE, reason))

    def owe(self, gap: Gap) -> None:
        """Remember a gap until it was told, however often the agent is killed before."""
        self._owe_all([gap])

    def owed(self) -> list[Owed]:
        """Gaps that were not told yet, oldest first."""
        return [Owed(number, gap) for number, gap in self._ledger.owed.items()]

    async def gap_owed(self) -> None:
        """Wait until there is a gap to tell."""
        await self._until(lambda: bool(self._ledger.owed))

    def settle(self, ids: list[int]) -> None:
        """These gaps stand in durable envelopes now."""
        for number in ids:
            self._ledger.owed.pop(number, None)
        self._ledger_stale = True
        self._bell.ring()

    def backlog(self) -> Backlog:
        """What waits to be acknowledged."""
        entries, size = self._shelf.waiting
        oldest = self._shelf.head.volume.oldest_ms if entries else None
        return Backlog(entries + len(self._pending), size + self._pending_bytes, oldest)

    def recording(self, streams: frozenset[str]) -> None:
        """Streams that are being recorded: those in which a kill leaves a gap."""
        if streams != self._ledger.recording:
            self._ledger.recording, self._ledger.since_us = streams, self._clock.now_us()
            self._ledger_stale = self._ledger_urgent = True
            self._bell.ring()

    async def close(self) -> None:
        """Make everything durable and note that the agent ended by itself."""
        self._closing = True
        self._bell.ring()
        await self._keeper
        self._ledger.clean = not self._pending
        self._ledger_stale = self._ledger_urgent = True
        await self._keep_ledger()
        self._shelf.close()
        os.close(self._lock)

    async def _until(self, fact: Callable[[], bool]) -> None:
        """Wait for `fact`; raises what ended the keeper, if it died: nobody may wait for a dead one."""
        await self._bell.until(lambda: fact() or self._keeper.done())
        if not fact():
            self._keeper.result()

    def _owe_all(self, gaps: list[Gap]) -> None:
        for gap in gaps:
            log.warning("gap_owed", stream=gap.stream, reason=gap.reason.value, lost_bytes=gap.lost_bytes)
            self._ledger.owe(gap)
        self._ledger_stale = self._ledger_urgent = True
        self._bell.ring()

    def _condemn(self, volume: Volume, gaps: list[Gap]) -> None:
        """Owe what is lost with a volume, once, however often the ledger is tried."""
        if self._condemned is not volume:
            self._owe_all(gaps)
            self._condemned = volume

    async def _keep(self) -> None:
        """Rounds of making durable, mending and dropping, until closed."""
        while True:
            closing = self._closing
            await self._keep_ledger()
            await self._commit()
            await self._mend()
            await self._enforce_limits()
            if closing and (self._failing or not self._pending):
                return
            await self._await_work()

    async def _await_work(self) -> None:
        def hurry() -> bool:
            return self._closing or self._hurried or self._pending_bytes >= self._settings.commit_bytes

        def work() -> bool:
            return bool(self._pending) or self._closing or self._damaged or self._ledger_urgent

        with contextlib.suppress(TimeoutError):
            if self._failing or self._damaged or self._ledger_failing:
                await wait_at_most(self._clock, self._bell.until(lambda: self._closing), RETRY_S)
                return
            await wait_at_most(self._clock, self._bell.until(work), LEDGER_S if self._ledger_stale else ROUND_S)
            since = self._clock.monotonic() - self._committed_at
            rest = self._settings.commit_ms / 1000 - since
            if rest > 0 and not self._ledger_urgent:
                await wait_at_most(self._clock, self._bell.until(hurry), rest)

    def _bound_pending(self) -> None:
        """Lose the oldest of what a disk that refuses leaves in memory, beyond what may be there, as a gap."""
        while self._pending_bytes > PENDING_BYTES:
            lost = self._pending.popleft()
            self._pending_bytes -= len(lost.envelope)
            self._landed += 1
            self._owe_all(gaps_of([(lost.mark, len(lost.envelope))], GapReason.SPOOL_FULL, "the disk took nothing"))

    async def _commit(self) -> None:
        """Write what is pending and sync it; when the disk refuses, it stays pending."""
        self._hurried = False
        batch = list(self._pending)
        if not batch:
            return
        self._pending.clear()
        self._writing = True
        try:
            self._shelf.make_room()
            heads = await asyncio.to_thread(_write, self._shelf, batch, self._clock.now_us() // 1000)
        except OSError as error:
            if not self._failing:
                log.warning("spool_disk_refuses", reason=error.strerror)
            self._failing = True
            self._pending.extendleft(reversed(batch))
            self._bound_pending()
        else:
            if self._failing:
                log.info("spool_disk_accepts")
            self._failing = False
            self._shelf.count(heads)
            self._ledger.marks.update((pending.mark.kind, pending.mark) for pending in batch)
            self._ledger_stale = True
            self._pending_bytes -= sum(len(pending.envelope) for pending in batch)
            self._landed += len(batch)
        finally:
            self._writing = False
        self._committed_at = self._clock.monotonic()
        self._bell.ring()

    async def _mend(self) -> None:
        """Take the damage out of the volume that is being read."""
        if not self._damaged:
            return
        try:
            self._shelf.make_room(turn=self._shelf.reading is self._shelf.active)
            volume, limit = self._shelf.reading, self._shelf.limit(self._shelf.reading)
            found = await asyncio.to_thread(survey_volume, volume, limit, self._shelf.head.number)
            self._condemn(volume, found.survey.finish(self._ledger.recording))
            if not await self._keep_ledger():
                return
            await asyncio.to_thread(found.mend)
        except OSError as error:
            log.warning("spool_mend_failed", reason=error.strerror)
            return
        self._shelf.replace(volume, found.volume)
        self._damaged = False
        self._bell.ring()

    async def _enforce_limits(self) -> None:
        """Drop the oldest volumes while there is too much, or they are too old."""
        now_ms = self._clock.now_us() // 1000
        age_ms = int(self._settings.max_age_h * 3_600_000)
        oldest = self._shelf.active.oldest_ms
        try:
            self._shelf.make_room(turn=oldest is not None and oldest < now_ms - age_ms // 24)
        except OSError:
            return  # the next commit meets the same, and says so
        while len(self._shelf.volumes) > 1:
            volume = self._shelf.volumes[0]
            if self._shelf.size > self._settings.max_bytes:
                reason, detail = GapReason.SPOOL_FULL, "the spool was full"
            elif volume.newest_ms < now_ms - age_ms:
                reason, detail = GapReason.SPOOL_EXPIRED, "no server took it in time"
            else:
                break
            heads = await asyncio.to_thread(read_heads, volume)
            if self._shelf.volumes[0] is volume:
                self._condemn(volume, gaps_of(self._shelf.unreleased(heads), reason, detail))
                if not await self._keep_ledger():
                    return
                self._shelf.drop_oldest()
                self._shelf.clear()

    async def _keep_ledger(self) -> bool:
        """Write the ledger: at once and durable when a gap or an end stands in it, else now and then.

        Whether every gap that is owed is durable: nothing that one stands for may be deleted before.
        """
        urgent, now = self._ledger_urgent, self._clock.monotonic()
        if not urgent and not (self._ledger_stale and now - self._ledger_at >= LEDGER_S):
            self._shelf.clear()
            return True
        self._ledger.head = self._shelf.head.number
        self._ledger_stale = self._ledger_urgent = False
        self._ledger_at = now
        try:
            path = self._directory / LEDGER
            await asyncio.to_thread(write_whole, path, self._ledger.to_bytes(), durable=urgent)
        except OSError as error:
            log.warning("spool_ledger_failed", reason=error.strerror)
            self._ledger_stale = True
            self._ledger_urgent |= urgent
            self._ledger_failing = True
            return not urgent
        self._ledger_failing = False
        if not self._ledger_urgent:
            self._shelf.clear()
        return not self._ledger_urgent


def _write(shelf: Shelf, batch: list[_Pending], now_ms: int) -> list[EntryHead]:
    """Make a batch durable in the active volume (in a thread: syncing takes its time)."""
    entries = [
        build_entry(number, now_ms, pending.mark, pending.envelope) for number, pending in enumerate(batch, shelf.next)
    ]
    shelf.active.write(b"".join(entries))
    return [head for entry in entries if (head := parse_head(entry))]
