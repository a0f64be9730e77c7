"""Keeping a source at work: started, started again when it fails, and its silence told as a gap.

Never lets a source's fault end the agent.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from agent.clock import Clock
from agent.gap import Gap, GapReason
from agent.recorder import Recorder
from agent.source import Source
from agent.spool import Spool
from schemas.errors import UnavailableError
from schemas.records import Record

log = structlog.get_logger()


@dataclass(slots=True)
class SourceStatus:
    """What a person is told of a source. `state`: waiting, recording, failing or ended."""

    state: str = "waiting"
    events: int = 0
    last_event_us: int = 0
    problem: str = ""


class Supervised:
    """One source and what keeps it running. `retry_s` `None`: it runs once, and what it raises ends the agent."""

    def __init__(
        self, source: Source, *, recorder: Recorder, spool: Spool, clock: Clock, retry_s: float | None
    ) -> None:
        self.source = source
        self.status = SourceStatus()
        self._recorder = recorder
        self._spool = spool
        self._clock = clock
        self._retry_s = retry_s
        self._emit = recorder.emit_for(source)
        self._failed_us: int | None = None

    async def run(self) -> None:
        """Run the source until its input ends, again after each failure."""
        while not await self._run_once():
            await self._clock.sleep(self._retry_s or 0)
        self.status.state = "ended"

    async def _run_once(self) -> bool:
        """Whether the source's input ended."""
        self.status.state = "recording"
        try:
            await self.source.run(self._take, self._recorder.current_policy)
        except UnavailableError as error:
            self._fail(str(error))
            if self._retry_s is None:
                raise
            return False
        except Exception as error:  # a source is the only part that may fail in ways nobody named
            self._fail(f"{type(error).__name__}: {error}")
            if self._retry_s is None:
                raise
            log.warning("source_failed", source=self.source.name, exc_info=True)
            return False
        return True

    async def _take(self, event: Record) -> None:
        if self._failed_us is not None:
            self._tell_gap(self._failed_us, self._clock.now_us())
            self._failed_us = None
            self.status.problem = ""
        self.status.events += 1
        self.status.last_event_us = self._clock.now_us()
        await self._emit(event)

    def _fail(self, problem: str) -> None:
        self.status.state = "failing"
        first = self._failed_us is None
        if first:
            self._failed_us = self._clock.now_us()
            log.warning("source_unavailable", source=self.source.name, reason=problem)
        self.status.problem = problem
        if first:
            self._tell_gap(self._clock.now_us(), None)

    def _tell_gap(self, from_us: int, until_us: int | None) -> None:
        """A hole, if that stream should have been recorded. It is told when it opens and, whole, when it closes."""
        kind = self.source.kind
        if self._recorder.policy.allows(kind):
            reason = GapReason.CAPTURE_FAILED
            self._spool.owe(
                Gap(kind.label, reason, from_us=from_us, until_us=until_us, detail=self.status.problem[:500])
            )
