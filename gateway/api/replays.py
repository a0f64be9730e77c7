"""Replays: process a range of a topic or of the archive again, see how far that is, cancel it and go on with it.

Never begins one that was not audited with its purpose, and says before how much it would be.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.api.times import from_ms, to_ms
from gateway.ops.picture import Frozen
from schemas.replays import REPLAYABLE, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from gateway.api.services import Services
    from sinks.postgresql.connection import Connection

router = APIRouter(prefix="/api/v1/replays", tags=["replays"])

SILENT_S = 20.0
LISTED = 100
MAX_AGENTS = 100
_LATEST_MS = 253_402_300_799_000

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
        rows = await connection.fetch("SELECT * FROM replay_job ORDER BY asked_at DESC LIMIT $1", LISTED)
    runs = [_run(row) for row in rows]
    ledger = await asyncio.to_thread(_read_ledger, services.settings.data.store("replay"))
    known = {run.run_id for run in runs}
    here = services.settings.node.id
    runs += [_noted_run(note, here) for note in ledger if note["id"] not in known]
    runs.sort(key=lambda run: -run.asked_ms)
    processors = [Replayable(processor=name, topics=sorted(topics)) for name, topics in REPLAYABLE.items()]
    return RunList(replays=runs[:LISTED], processors=processors)


@router.post("/estimate")
async def estimate(
    wanted: Range,
    principal: Annotated[Principal, needs(Permission.PROCESSORS)],  # noqa: ARG001
    services: Serving,
) -> Estimate:
    """How much a replay would process again. Nothing is read but what is known of envelopes."""
    _check(wanted)
    return await _estimate(services, wanted)


@router.post("", status_code=201)
async def begin(
    wish: Wish, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Run:
    """Begin a replay on this gateway's node. It goes on whoever looks, one at a time; the others wait."""
    _check(wish)
    expected = await _estimate(services, wish)
    if not expected.records:
        raise ApiError(409, "nothing_found", "there is nothing in that range: see the times, the agents and the topic")
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    asked = wish.model_dump(mode="json", exclude={"records_per_s", "purpose"})
    detail = {name: str(value) for name, value in asked.items() if value not in (None, [])}
    await services.audit(principal, "replay", run_id, purpose=wish.purpose, **detail)
    async with services.database() as connection:
        row = await connection.fetchrow(
            "INSERT INTO replay_job (run_id, node_id, request, records_per_s, actor, purpose, expected_records, "
            "expected_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
            *(run_id, services.settings.node.id, json.dumps(asked), wish.records_per_s, principal.actor, wish.purpose),
            *(expected.records, expected.bytes),
        )
    assert row is not None
    return _run(row)


@router.post("/{run_id}/cancel")
async def cancel(
    run_id: RunId, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Run:
    """End a replay in order: what it has done stays, and `resume` goes on from there."""
    async with services.database() as connection:
        await _require(connection, run_id, {"waiting", "running"}, "has ended already")
        await services.audit(principal, "replay cancel", run_id)
        return await _wish(connection, run_id, "wanted = 'cancel'")


@router.post("/{run_id}/resume")
async def resume(
    run_id: RunId, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Run:
    """Go on with a replay that was cancelled, stopped or failed, on the node that ran it."""
    async with services.database() as connection:
        await _require(connection, run_id, {"cancelled", "stopped", "failed"}, "runs, or is done")
        await services.audit(principal, "replay resume", run_id)
        return await _wish(connection, run_id, "wanted = 'run', state = 'waiting', fault = ''")


async def _require(connection: Connection, run_id: str, states: set[str], otherwise: str) -> None:
    state = await connection.fetchval("SELECT state FROM replay_job WHERE run_id = $1", run_id)
    if state is None:
        raise ApiError(404, "not_found", f"the console began no replay {run_id}: `sealstream replay list` has others")
    if state not in states:
        raise ApiError(409, "out_of_turn", f"replay {run_id} {otherwise}")


async def _wish(connection: Connection, run_id: str, change: str) -> Run:
    statement = f"UPDATE replay_job SET {change}, changed_at = now() WHERE run_id = $1 RETURNING *"  # noqa: S608 - ours
    row = await connection.fetchrow(statement, run_id)
    assert row is not None
    return _run(row)


def _check(wanted: Range) -> None:
    """Raise `ApiError` for what cannot be done, in the words of the form."""
    topics = REPLAYABLE.get(wanted.processor)
    if topics is None:
        raise ApiError(400, "bad_request", f"only {', '.join(REPLAYABLE)} can read again")
    if wanted.topic not in topics:
        raise ApiError(400, "bad_request", f"{wanted.processor} reads {', '.join(sorted(topics))}")
    if wanted.until_ms is not None and wanted.until_ms <= (wanted.since_ms or 0):
        raise ApiError(400, "bad_time", "the end is not after the beginning")
    if wanted.offsets and wanted.source == "archive":
        raise ApiError(400, "bad_request", "offsets are Kafka's: from the archive, choose by time")
    if wanted.offsets and (wanted.since_ms is not None or wanted.until_ms is not None):
        raise ApiError(400, "bad_request", "choose by offsets or by time, not by both")
    for one in wanted.offsets:
        if one.end is not None and one.end <= one.first:
            raise ApiError(400, "bad_request", f"partition {one.partition}: the end is not after the first offset")


async def _estimate(services: Services, wanted: Range) -> Estimate:
    at = "captured_at" if wanted.source == "archive" else "received_at"
    held = await _held(services, wanted) if wanted.source == "kafka" else {}
    places = [(number, first, end) for number, (first, end) in held.items()]
    join = "" if wanted.source == "archive" else (
        "JOIN unnest($5::int[], $6::bigint[], $7::bigint[]) AS held (number, first, beyond) "
        "ON kafka_partition = number AND kafka_offset >= first AND kafka_offset < beyond "
    )  # fmt: skip
    async with services.database() as connection:
        row = await connection.fetchrow(
            f"SELECT count(*) AS records, coalesce(sum(bytes), 0)::bigint AS bytes, "  # noqa: S608 - names of ours
            f"count(DISTINCT agent_id) AS agents, min({at}) AS first, max({at}) AS last FROM envelope {join}"
            f"WHERE stream = $1 AND ($2::uuid[] IS NULL OR agent_id = ANY($2)) "
            f"AND ($3::timestamptz IS NULL OR {at} >= $3) AND ($4::timestamptz IS NULL OR {at} < $4)",
            *(wanted.topic.removeprefix("envelopes."), wanted.agents or None),
            *(None if time is None else from_ms(time) for time in (wanted.since_ms, wanted.until_ms)),
            *([list(column) for column in zip(*places, strict=True)] or [[], [], []] if join else ()),
        )
    assert row is not None
    return Estimate(
        records=row["records"],
        bytes=row["bytes"],
        agents=row["agents"],
        first_ms=to_ms(row["first"]) if row["first"] else None,
        last_ms=to_ms(row["last"]) if row["last"] else None,
    )


async def _held(services: Services, wanted: Range) -> dict[int, tuple[int, int]]:
    """What Kafka still has of the topic, within the offsets that were asked for."""
    extents = await services.overview.read_extents(wanted.topic)
    if not wanted.offsets:
        return extents
    held: dict[int, tuple[int, int]] = {}
    for one in wanted.offsets:
        if one.partition in extents:
            first, end = extents[one.partition]
            held[one.partition] = max(first, one.first), end if one.end is None else min(end, one.end)
    return held


def _run(row: Mapping[str, Any]) -> Run:
    asked, told = json.loads(row["request"]), json.loads(row["progress"])
    progress = Progress(**{name: value for name, value in told.items() if name in Progress.model_fields})
    state = row["state"]
    silent_s = (datetime.now(UTC) - row["changed_at"]).total_seconds()
    if state in {"waiting", "running"} and silent_s > SILENT_S:
        state = "interrupted"
    return Run(
        **{name: row[name] for name in ("run_id", "node_id", "fault", "actor", "purpose")},
        **{name: row[name] for name in ("expected_records", "expected_bytes")},
        **asked,
        state="cancelling" if state == "running" and row["wanted"] == "cancel" else state,
        asked_ms=to_ms(row["asked_at"]),
        changed_ms=to_ms(row["changed_at"]),
        progress=progress.model_copy(update={"share": _share(progress, state, row["expected_records"])}),
        by_command=False,
    )


def _share(progress: Progress, state: str, expected: int | None) -> float | None:
    if state == "done":
        return 1.0
    if progress.total and progress.left is not None and progress.total > progress.left:
        return min(1.0, (progress.total - progress.left) / progress.total)
    return min(1.0, progress.done / expected) if expected else None


def _read_ledger(folder: FilePath) -> list[dict[str, Any]]:
    """The notes of all runs on this node; what is no note is passed over."""
    notes = []
    for path in sorted(folder.glob("*.json"))[-LISTED:]:
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
    progress = Progress(
        done=note["done"], bytes=note["done_bytes"], results=note["results"], dead=note["dead"], left=left, total=total
    )
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
        progress=progress.model_copy(update={"share": _share(progress, note["state"], None)}),
        by_command=True,
    )
