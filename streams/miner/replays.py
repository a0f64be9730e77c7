"""Replays by gRPC: submitted to this node, listed, watched, cancelled, by the table that the console uses too.

Never begins or ends one that was not audited first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from infra.audit import audit_trail
from infra.keys.table import connected
from infra.lag import LagReader
from infra.replays import jobs
from schemas.errors import MalformedError, UnavailableError
from schemas.replays import RUN_ID
from streams.miner.caller import Caller, checked_text
from streams.miner.contract import messages

if TYPE_CHECKING:
    from infra.settings import Settings

LOOK_S = 1.0
MAX_AGENTS = 100
MAX_OFFSETS = 256
_LATEST_MS = 253_402_300_799_000
_MAX_OFFSET = 2**63 - 1
_MAX_RATE = 1e6
_WORDS = ("fault", "purpose", "asked_ms", "changed_ms", "state")
_OPTIONAL = ("per_s", "eta_s")


class ReplayDesk:
    """Takes what callers ask for. Raises `RefusedReplayError`, `MalformedError`, `UnavailableError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def submit(self, request: Any, caller: Caller) -> Any:
        """Have this node run it; a `Replay`."""
        asked = asked_of(request)
        purpose = checked_text(request.purpose, "purpose", at_least=3)
        if not 0 <= request.records_per_s <= _MAX_RATE:
            raise MalformedError("records_per_s is not between 0 and a million")
        expected = await self._expect(asked)
        if not expected.records:
            raise jobs.RefusedReplayError(
                "nothing_found", "there is nothing in that range: see the times, the agents and the topic"
            )
        run_id = jobs.new_run_id()
        await self._audit(caller, "replay", run_id, purpose, **asked.told())
        async with connected(self._settings) as connection:
            job = await jobs.begin(
                connection,
                run_id,
                self._settings.node.id,
                asked,
                records_per_s=request.records_per_s,
                actor=caller.actor,
                purpose=purpose,
                expected=expected,
            )
        return as_message(job)

    async def list(self, request: Any) -> Any:
        """The newest first, of this node or of all."""
        node = "" if request.everywhere else self._settings.node.id
        async with connected(self._settings) as connection:
            found = await jobs.fetch_all(connection, node)
        return messages.ListReplaysReply(replays=[as_message(job) for job in found])

    async def watch(self, request: Any) -> AsyncGenerator[Any, None]:
        """The run now, and whenever it has changed, to its end. A database that goes away meanwhile is waited out."""
        run_id, before = run_id_of(request), None
        while True:
            try:
                async with connected(self._settings) as connection:
                    job = await jobs.fetch(connection, run_id)
            except UnavailableError:
                if before is None:
                    raise
            else:
                message = as_message(job)
                if message != before:
                    yield (before := message)
                if job.ended:
                    return
            await asyncio.sleep(LOOK_S)

    async def cancel(self, request: Any, caller: Caller) -> Any:
        """Wish that it ends; a `Replay`."""
        run_id = run_id_of(request)
        async with connected(self._settings) as connection:
            await jobs.require_cancellable(connection, run_id)
            await self._audit(caller, "replay cancel", run_id)
            return as_message(await jobs.cancel(connection, run_id))

    async def _expect(self, asked: jobs.Asked) -> jobs.Expected:
        asked.check()
        extents: jobs.Extents = {}
        if asked.source == "kafka":
            reader = LagReader(self._settings)
            try:
                extents = await reader.read_extents(asked.topic)
            finally:
                await reader.close()
        async with connected(self._settings) as connection:
            return await jobs.expect(connection, asked, extents)

    async def _audit(self, caller: Caller, action: str, run_id: str, purpose: str = "", **detail: str) -> None:
        async with audit_trail(self._settings) as write:
            detail |= {"via": caller.via}
            await write(action, run_id, actor=caller.actor, purpose=purpose, detail=detail)


def asked_of(request: Any) -> jobs.Asked:
    """What a `SubmitReplayRequest` asks for; raises `MalformedError`."""
    if len(request.agents) > MAX_AGENTS or len(request.offsets) > MAX_OFFSETS:
        raise MalformedError(f"at most {MAX_AGENTS} agents and {MAX_OFFSETS} ranges of offsets are taken at once")
    times = [getattr(request, name) if request.HasField(name) else None for name in ("since_ms", "until_ms")]
    if any(time is not None and time > _LATEST_MS for time in times):
        raise MalformedError("that time is too late to be one")
    try:
        agents = tuple(str(UUID(agent)) for agent in request.agents)
    except ValueError:
        raise MalformedError("an agent is named by its UUID") from None
    spans = tuple(
        jobs.OffsetSpan(one.partition, one.first, one.end if one.HasField("end") else None) for one in request.offsets
    )
    if any(max(one.first, one.end or 0) > _MAX_OFFSET or one.partition >= 2**31 for one in spans):
        raise MalformedError("that offset or partition is too large to be one")
    source = "archive" if request.source == messages.SubmitReplayRequest.ARCHIVE else "kafka"
    return jobs.Asked(request.topic, request.processor or "mine", source, times[0], times[1], agents, spans)


def run_id_of(request: Any) -> str:
    """The run that a request names; raises `MalformedError` for what cannot be one."""
    if not re.fullmatch(RUN_ID, request.run_id):
        raise MalformedError("a run is called like 20261127-090000-1a2b")
    return str(request.run_id)


def as_message(job: jobs.Job) -> Any:
    """A `Replay`."""
    told = job.progress
    known = {name: told[name] for name in _OPTIONAL if told.get(name) is not None}
    if job.share is not None:
        known["share"] = job.share
    return messages.Replay(
        run_id=job.run_id,
        node=job.node_id,
        topic=job.asked["topic"],
        processor=job.asked["processor"],
        source=job.asked["source"],
        person=job.actor,
        expected_records=job.expected_records or 0,
        expected_bytes=job.expected_bytes or 0,
        paused=bool(told.get("paused")),
        **{name: int(told.get(name) or 0) for name in ("done", "bytes", "results", "dead")},
        **{name: getattr(job, name) for name in _WORDS},
        **known,
    )
