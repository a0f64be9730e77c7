"""The engine of a replay: feeds records to a processor, delivers what comes of them, notes how far it came.

Never notes a record as done before its results are durable: a run that was killed goes on where it must.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from schemas.errors import LocalError, RemoteError
from streams.body import Body
from streams.incoming import Incoming, Partition
from streams.replay.courtesy import Courtesy
from streams.replay.feed import Fed, Feed
from streams.replay.ledger import CANCELLED, DONE, STOPPED, Ledger, Run
from streams.replay.reached import Reached
from streams.row import Made
from streams.share import Share

MAX_HELD = 512
MAX_HELD_BYTES = 64 * 1024 * 1024
NOTE_S = 1.0
_TURN_S = 0.005


class Shown(Protocol):
    """A processor that can take a record without making anything of it."""

    async def show(self, record: Incoming) -> None:
        """Take the record for what it leaves behind."""
        ...


class Engine:
    """Runs one replay. `told` is called with the run about once a second."""

    def __init__(
        self,
        feed: Feed,
        body: Body,
        ledger: Ledger,
        courtesy: Courtesy,
        *,
        told: Callable[[Run], None] = lambda _: None,
        shown: Shown | None = None,
    ) -> None:
        self._feed = feed
        self._body = body
        self._ledger = ledger
        self._courtesy = courtesy
        self._told = told
        self._shown = shown
        self._shares: dict[Partition, Share] = {}
        self._taken: dict[tuple[Partition, int], Fed] = {}
        self._noted = 0.0
        self._before = (0, 0)

    async def run(self, run: Run) -> Run:
        """Read to the end, or until cancelled; the run as it stands then. Raises `UnavailableError`."""
        await self._feed.prepare(run)
        self._before = run.results, run.dead
        self._ledger.save(run)
        try:
            async for batch in self._feed.batches(run):
                if self._ledger.is_cancelled(run):
                    run.state = CANCELLED
                    break
                await self._courtesy.give_way(sum(fed.wanted for fed in batch))
                await self._take(run, batch)
            else:
                await self._settled(run, 0, 0)
                run.state = DONE
        except BaseException:
            run.state = STOPPED
            raise
        finally:
            await asyncio.gather(*(share.finish(0) for share in self._shares.values()))
            self._note(run)
            for place, share in self._shares.items():
                self._body.processor.end(place, share.next_offset)
        return run

    async def _take(self, run: Run, batch: list[Fed]) -> None:
        place = batch[0].record.place
        share = self._shares.get(place)
        if share is None:
            start = batch[0].record.offset
            await self._body.processor.begin(place, start)
            share = self._shares[place] = Share(start, self)
            run.next[place.number] = start
        for fed in batch:
            self._taken[place, fed.record.offset] = fed
            share.take(fed.record)
        await self._settled(run, MAX_HELD, MAX_HELD_BYTES)

    async def process(self, record: Incoming) -> Made:
        """As `Work` says: only what is wanted is processed."""
        fed = self._taken[record.place, record.offset]
        if fed.wanted:
            return await self._body.process(record)
        if fed.shown and self._shown is not None:
            with suppress(RemoteError):  # it became a dead letter in its time
                await self._shown.show(record)
        return Made(record)

    async def deliver(self, made: Sequence[Made]) -> None:
        """As `Work` says."""
        await self._body.deliver(made)

    async def forget(self, made: Made) -> None:
        """As `Work` says."""
        await self._body.forget(made)

    async def _settled(self, run: Run, records: int, held_bytes: int) -> None:
        """Return when no more than so much is under way."""
        while (
            sum(share.held_records for share in self._shares.values()) > records
            or sum(share.held_bytes for share in self._shares.values()) > held_bytes
        ):
            for share in self._shares.values():
                if share.failure is not None:
                    raise LocalError("a record could not be processed again") from share.failure
            if time.monotonic() - self._noted > NOTE_S:
                self._note(run)
            await asyncio.sleep(_TURN_S)
        if time.monotonic() - self._noted > NOTE_S:
            self._note(run)

    def _note(self, run: Run) -> None:
        """Write down how far it came."""
        self._noted = time.monotonic()
        for place, share in self._shares.items():
            for offset in range(run.next[place.number], share.next_offset):
                fed = self._taken.pop((place, offset), None)
                if fed is not None and fed.wanted:
                    run.done += 1
                    run.done_bytes += len(fed.record.value)
                    if fed.mark is not None:
                        reached = run.reached.setdefault(fed.record.key.decode(), Reached())
                        reached.note(fed.mark, fed.record.timestamp_ms)
            run.next[place.number] = share.next_offset
        run.results = self._before[0] + self._body.results
        run.dead = self._before[1] + self._body.dead.total()
        self._ledger.save(run)
        self._told(run)
