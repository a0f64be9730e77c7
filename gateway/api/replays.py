"""Replays: process a range of a topic or of the archive again, see how far that is, cancel it and go on with it.

Never begins one that was not audited with its purpose, and says before how much it would be.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.ops.picture import Frozen
from infra.replays import jobs
from schemas.replays import REPLAYABLE, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from gateway.api.services import Services

router = APIRouter(prefix="/api/v1/replays", tags=["replays"])

MAX_AGENTS = 100
_LATEST_MS = 253_402_300_799_000

_STATUSES = {"not_found": 404, "out_of_turn": 409, "nothing_found": 409}
_OF_JOB = (
    *("run_id", "node_id", "state", "fault", "actor", "purpose", "asked_ms", "changed_ms"),
    *("expected_records", "expected_bytes"),
)

RunId = Annotated[str, Path(pattern=f"^{RUN_ID}$")]
TimeMs = Annotated[int, Field(ge=0, le=_LATEST_MS)]
Offset = Annotated[int, Field(ge=0, lt=1 << 63)]


class OffsetRange(BaseModel):
    """Of one partition: its records from `first` until before `end`; without `end` to where the partition ends now."""

    partition: Annotated[int, Field(ge=0, lt=1 << 31)]
    first: Offset
    end: Offset | None = None


class Range(BaseModel):
    """What to process again. In Kafka, times mean when a record was received; in the archive, when it was captured."""

    topic: Annotated[str, Field(max_length=100)]
    processor: Annotated[str, Field(max_length=40)] = "mine"
    source: Literal["kafka", "archive"] = "kafka"
    since_ms: TimeMs | None = None
    until_ms: TimeMs | None = None
    agents: Annotated[list[UUID], Field(max_length=MAX_AGENTS)] = []
    offsets: Annotated[list[OffsetRange], Field(max_length=256)] = []

    @property
    def asked(self) -> jobs.Asked:
        """As the table of replays has it."""
        return jobs.Asked(
            self.topic,
            self.processor,
            self.source,
            self.since_ms,
            self.until_ms,
            tuple(str(agent) for agent in self.agents),
            tuple(jobs.OffsetSpan(one.partition, one.first, one.end) for one in self.offsets),
        )


class Wish(Range):
    """A replay to begin; the purpose goes into the audit. `records_per_s` 0: no limit."""

    records_per_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    purpose: Annotated[str, Field(min_length=3, max_length=500, pattern=r"^[^\x00]+$")]


class Estimate(Frozen):
    """How much it would be, by the table of envelopes: records, their bytes, how many agents, and from when to when."""

    records: int
    bytes: int
    agents: int
    first_ms: int | None
    last_ms: int | None


class Replayable(Frozen):
    """A processor, and the topics that it can read again."""

    processor: str
    topics: list[str]


class Progress(Frozen):
    """How far a run is. `left` and `total` are offsets in Kafka; from the archive they are not known."""

    done: int = 0
    bytes: int = 0
    results: int = 0
    dead: int = 0
    left: int | None = None
    total: int | None = None
    per_s: float | None = None
    bytes_per_s: float | None = None
    eta_s: float | None = None
    paused: bool = False
    """It stands back for live traffic."""
    share: float | None = None
    """Between 0 and 1, where it is known."""


class Run(Frozen):
    """One replay. `state` is waiting, running, done, cancelled, stopped, failed or interrupted."""

    run_id: str
    node_id: str
    state: str
    fault: str
    topic: str
    processor: str
    source: str
    since_ms: int | None
    until_ms: int | None
    agents: list[str]
    offsets: list[dict[str, Any]]
    actor: str
    purpose: str
    asked_ms: int
    changed_ms: int
    expected_records: int | None
    expected_bytes: int | None
    progress: Progress
    by_command: bool
    """Begun by `sealstream replay` on this node: the command line has it."""


class RunList(Frozen):
    """The newest first, and what can be asked for."""

    replays: list[Run]
    processors: list[Replayable]


@router.get("")
async def show(principal: Annotated[Principal, needs(Permission.PROCESSORS)], services: Serving) -> RunList:  # noqa: ARG001
    """All replays of all nodes, and those that the command line began on this one."""
    async with services.database() as connection:
        runs = [_run(job) for job in await jobs.fetch_all(connection)]
    ledger = await asyncio.to_thread(_read_ledger, services.settings.data.store("replay"))
    known = {run.run_id for run in runs}
    here = services.settings.node.id
    runs += [_noted_run(note, here) for note in ledger if note["id"] not in known]
    runs.sort(key=lambda run: -run.asked_ms)
    processors = [Replayable(processor=name, topics=sorted(topics)) for name, topics in REPLAYABLE.items()]
    return RunList(replays=runs[: jobs.LISTED], processors=processors)


@router.post("/estimate")
async def estimate(
    wanted: Range,
    principal: Annotated[Principal, needs(Permission.PROCESSORS)],  # noqa: ARG001
    services: Serving,
) -> Estimate:
    """How much a replay would process again. Nothing is read but what is known of envelopes."""
    return Estimate(**asdict(await _expect(services, wanted.asked)))


@router.post("", status_code=201)
async def begin(
    wish: Wish, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Run:
    """Begin a replay, on this node or on one that mines. It goes on whoever looks, one at a time; the others wait."""
    asked = wish.asked
    expected = await _expect(services, asked)
    if not expected.records:
        raise ApiError(409, "nothing_found", "there is nothing in that range: see the times, the agents and the topic")
    run_id = jobs.new_run_id()
    await services.audit(principal, "replay", run_id, purpose=wish.purpose, **asked.told())
    async with services.database() as connection:
        job = await jobs.begin(
            connection,
            run_id,
            await jobs.choose_node(connection, services.settings.node.id, asked),
            asked,
            records_per_s=wish.records_per_s,
            actor=principal.actor,
            purpose=wish.purpose,
            expected=expected,
        )
    return _run(job)


@router.post("/{run_id}/cancel")
async def cancel(
    run_id: RunId, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Run:
    """End a replay in order: what it has done stays, and `resume` goes on from there."""
    async with services.database() as connection:
        with _refusals():
            await jobs.require_cancellable(connection, run_id)
        await services.audit(principal, "replay cancel", run_id)
        return _run(await jobs.cancel(connection, run_id))


@router.post("/{run_id}/resume")
async def resume(
    run_id: RunId, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Run:
    """Go on with a replay that was cancelled, stopped or failed, on the node that ran it."""
    async with services.database() as connection:
        with _refusals():
            await jobs.require_resumable(connection, run_id)
        await services.audit(principal, "replay resume", run_id)
        return _run(await jobs.resume(connection, run_id))


@contextmanager
def _refusals() -> Iterator[None]:
    """What the table of replays refuses, as the API says it."""
    try:
        yield
    except jobs.RefusedReplayError as error:
        raise ApiError(_STATUSES.get(error.word, 400), error.word, str(error)) from error


async def _expect(services: Services, asked: jobs.Asked) -> jobs.Expected:
    with _refusals():
        asked.check()
    extents = await services.overview.read_extents(asked.topic) if asked.source == "kafka" else {}
    async with services.database() as connection:
        return await jobs.expect(connection, asked, extents)


def _run(job: jobs.Job) -> Run:
    told = {name: value for name, value in job.progress.items() if name in Progress.model_fields}
    return Run(
        **{name: getattr(job, name) for name in _OF_JOB},
        **job.asked,
        progress=Progress(**{**told, "share": job.share}),
        by_command=False,
    )


def _read_ledger(folder: FilePath) -> list[dict[str, Any]]:
    """The notes of all runs on this node; what is no note is passed over."""
    notes = []
    for path in sorted(folder.glob("*.json"))[-jobs.LISTED :]:
        try:
            note = json.loads(path.read_text("utf-8"))
            note["id"], note["request"]["topic"], note["started_ms"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        notes.append(note)
    return notes


def _noted_run(note: Mapping[str, Any], node_id: str) -> Run:
    asked = note["request"]
    total = sum(end - first for first, end in note["ranges"].values())
    left = sum(max(0, end - note["next"].get(number, first)) for number, (first, end) in note["ranges"].items())
    progress = {"done": note["done"], "bytes": note["done_bytes"], "results": note["results"], "dead": note["dead"]}
    progress |= {"left": left, "total": total}
    return Run(
        run_id=note["id"],
        node_id=node_id,
        state=note["state"],
        fault="",
        topic=asked["topic"],
        processor=asked["processor"],
        source="archive" if asked["from_archive"] else "kafka",
        since_ms=asked["since_ms"] or None,
        until_ms=asked["until_ms"],
        agents=asked["agents"],
        offsets=[{"partition": int(n), "first": span[0], "end": span[1]} for n, span in asked["offsets"].items()],
        actor="",
        purpose="",
        asked_ms=note["started_ms"],
        changed_ms=note["changed_ms"],
        expected_records=None,
        expected_bytes=None,
        progress=Progress(**progress, share=jobs.share_done(progress, note["state"], None)),
        by_command=True,
    )
