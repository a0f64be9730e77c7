"""The disk spool against a model: whatever is done to it, killed or not, every envelope is accounted for."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.clock import SystemClock
from agent.disk_spool import DiskSpool, open_spool
from agent.gap import Gap, GapReason, Mark
from agent.settings import SpoolSettings
from schemas.kinds import StreamKind

EPOCH = b"m" * 32
SETTINGS = SpoolSettings(commit_ms=0, max_bytes=4_000_000)


class SpoolMachine(RuleBasedStateMachine):
    """A model of the spool is a list: what is durable and not released, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(1))
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name)
        self.appended = 0
        self.durable: list[int] = []
        self.lent: list[tuple[int, int]] = []
        self.recorded = False
        self.spool = self.open()

    def open(self) -> DiskSpool:
        async def start() -> DiskSpool:
            spool = await open_spool(self.path, SETTINGS, SystemClock())
            spool.recording(frozenset({"screen"}))
            return spool

        return self.loop.run_until_complete(start())

    def envelope(self, sequence: int) -> bytes:
        """Sizes differ by sequence, so that entries meet every kind of border."""
        return (b"%d " % sequence).ljust(20 + random.Random(sequence).randrange(30_000), b"x")

    @rule(count=st.integers(1, 8))
    def append(self, count: int) -> None:
        async def append() -> None:
            for _ in range(count):
                mark = Mark(StreamKind.SCREEN, EPOCH, self.appended, self.appended, self.appended)
                self.spool.append(self.envelope(self.appended), mark)
                self.durable.append(self.appended)
                self.appended += 1
            self.recorded = True
            await self.spool.flush()

        self.loop.run_until_complete(append())

    @rule(max_bytes=st.integers(20, 200_000))
    def take(self, max_bytes: int) -> None:
        taken = self.spool.take(max_bytes)
        waiting = [sequence for sequence in self.durable if sequence not in {s for _, s in self.lent}]
        for one, sequence in zip(taken, waiting, strict=False):
            assert one.envelope == self.envelope(sequence)
            self.lent.append((one.number, sequence))
        assert sum(len(one.envelope) for one in taken) <= max_bytes

    @precondition(lambda self: self.lent)
    @rule(share=st.floats(0, 1))
    def release(self, share: float) -> None:
        count = max(1, round(share * len(self.lent)))
        gone, self.lent = self.lent[:count], self.lent[count:]
        self.spool.release(gone[-1][0] + 1)
        self.durable = self.durable[count:]

    @precondition(lambda self: self.lent)
    @rule()
    def refuse(self) -> None:
        number, sequence = self.lent[0]
        self.spool.quarantine(number, "refused")
        assert Gap("screen", GapReason.NOT_STORABLE, EPOCH, sequence, sequence).reason in self.reasons()

    @rule()
    def rewind(self) -> None:
        self.spool.rewind()
        self.lent = []

    @rule()
    def end_and_start(self) -> None:
        owed = len(self.spool.owed())
        self.loop.run_until_complete(self.spool.close())
        self.lent = []
        self.spool = self.open()
        assert len(self.spool.owed()) == owed

    @rule(junk=st.binary(max_size=300), acks_kept=st.booleans())
    def kill_and_start(self, *, junk: bytes, acks_kept: bool) -> None:
        """Killed: no clean end, a torn write at the end, and perhaps the last second's acks forgotten."""

        async def kill() -> None:
            if acks_kept:
                self.spool._ledger_urgent = True
                await self.spool._keep_ledger()
            self.spool._keeper.cancel()
            await asyncio.to_thread(lambda: None)  # what a thread was writing ends here; a kill would end it sooner

        self.loop.run_until_complete(kill())
        recorded, self.recorded = self.recorded, False
        volume = self.spool._shelf.active.path
        self.spool._shelf.close()
        os.close(self.spool._lock)
        with volume.open("ab") as file:
            file.write(junk)
        self.lent = []
        self.spool = self.open()
        if acks_kept or recorded:  # killed before anything was recorded, nothing is missing
            assert GapReason.AGENT_KILLED in self.reasons()
        first = self.spool.take(100_000)
        if first and not acks_kept:  # what was released may come again: at least once
            again = int(first[0].envelope.split(b" ")[0])
            assert not self.durable or again <= self.durable[0]
            self.durable = list(range(again, self.appended))
        self.spool.rewind()

    @rule()
    def tell_gaps(self) -> None:
        self.spool.settle([one.id for one in self.spool.owed()])

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert self.spool.backlog().envelopes >= len(self.durable)

    def reasons(self) -> set[GapReason]:
        return {one.gap.reason for one in self.spool.owed()}

    def teardown(self) -> None:
        self.spool.rewind()
        held = []
        while taken := self.spool.take(1 << 20):
            held += [one.envelope for one in taken]
        assert held == [self.envelope(sequence) for sequence in self.durable]
        self.loop.run_until_complete(self.spool.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
