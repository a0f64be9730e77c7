"""The table of replays that somebody asked for: what can be asked, how much it would be, and what becomes of it.

Never runs one, and writes no audit: who calls does that first, with its own words for who asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

from schemas.errors import RemoteError
from schemas.replays import REPLAYABLE

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[Any]
    Extents = Mapping[int, tuple[int, int]]
    """Of each partition: its first offset, and the one after its last."""

LISTED = 100
SILENT_S = 20.0
"""A run that nobody has noted for so long is interrupted: what runs its node's replays does not run."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CHOICE = """
SELECT split_part(node_id, '/', 1) AS node FROM node_state AS miner WHERE role = 'miner' AND state = 'ready'
ORDER BY split_part(node_id, '/', 1) <> $1, (
    SELECT count(*) FROM replay_job
    WHERE replay_job.node_id = split_part(miner.node_id, '/', 1) AND replay_job.state IN ('waiting', 'running')
), node_id LIMIT 1"""

Word = Literal["bad_request", "bad_time", "nothing_found", "not_found", "out_of_turn"]


class RefusedReplayError(RemoteError):
    """It cannot be done; `word` says of what kind the reason is."""

    def __init__(self, word: Word, message: str) -> None:
        super().__init__(message)
        self.word: Word = word


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """Of one partition: its records from `first` until before `end`; without `end` to where the partition ends now."""

    partition: int
    first: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be processed again. In Kafka, times mean when a record was received; in the archive, when captured."""

    topic: str
    processor: str = "mine"
    source: str = "kafka"
    since_ms: int | None = None
    until_ms: int | None = None
    agents: tuple[str, ...] = ()
    offsets: tuple[OffsetSpan, ...] = ()

    def check(self) -> None:
        """Raise `RefusedReplayError` for what cannot be done."""
        topics = REPLAYABLE.get(self.processor)
        if topics is None:
            raise RefusedReplayError("bad_request", f"only {', '.join(REPLAYABLE)} can read again")
        if self.topic not in topics:
            raise RefusedReplayError("bad_request", f"{self.processor} reads {', '.join(sorted(topics))}")
        if self.source not in {"kafka", "archive"}:
            raise RefusedReplayError("bad_request", "it is read from kafka or from the archive")
        if self.until_ms is not None and self.until_ms <= (self.since_ms or 0):
            raise RefusedReplayError("bad_time", "the end is not after the beginning")
        self._check_offsets()

    def _check_offsets(self) -> None:
        if self.offsets and self.source == "archive":
            raise RefusedReplayError("bad_request", "offsets are Kafka's: from the archive, choose by time")
        if self.offsets and (self.since_ms is not None or self.until_ms is not None):
            raise RefusedReplayError("bad_request", "choose by offsets or by time, not by both")
        for one in self.offsets:
            if one.end is not None and one.end <= one.first:
                raise RefusedReplayError(
                    "bad_request", f"partition {one.partition}: the end is not after the first offset"
                )

    def to_json(self) -> dict[str, Any]:
        """As the table keeps it."""
        return {**asdict(self), "agents": list(self.agents), "offsets": [asdict(one) for one in self.offsets]}

    def told(self) -> dict[str, str]:
        """As the audit keeps it: what was given, in words."""
        return {name: str(value) for name, value in self.to_json().items() if value not in (None, [])}


@dataclass(frozen=True, slots=True)
class Expected:
    """How much it would be, by the table of envelopes: records, their bytes, how many agents, from when to when."""

    records: int
    bytes: int
    agents: int
    first_ms: int | None
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """One replay. `state` is waiting, running, cancelling, done, cancelled, stopped, failed or interrupted."""

    run_id: str
    node_id: str
    state: str
    fault: str
    asked: Mapping[str, Any]
    actor: str
    purpose: str
    asked_ms: int
    changed_ms: int
    expected_records: int | None
    expected_bytes: int | None
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """How far it is, between 0 and 1, where that is known."""
        return share_done(self.progress, self.state, self.expected_records)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen unless somebody asks for it."""
        return self.state in {"done", "cancelled", "stopped", "failed"}


def share_done(progress: Mapping[str, Any], state: str, expected: int | None) -> float | None:
    """How far a run is, between 0 and 1: by offsets where they are known, else by what was expected."""
    if state == "done":
        return 1.0
    total, left = progress.get("total"), progress.get("left")
    if total and left is not None and total > left:
        return min(1.0, float(total - left) / float(total))
    return min(1.0, float(progress.get("done", 0)) / expected) if expected else None


def new_run_id() -> str:
    """A name for a run, after now."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"


async def expect(connection: Connection, asked: Asked, extents: Extents) -> Expected:
    """How much a replay would process again. `extents` are those of the topic in Kafka; not used for the archive."""
    from_archive = asked.source == "archive"
    at = "captured_at" if from_archive else "received_at"
    places = [(number, first, end) for number, (first, end) in _held(asked, extents).items()]
    join = "" if from_archive else (
        "JOIN unnest($5::int[], $6::bigint[], $7::bigint[]) AS held (number, first, beyond) "
        "ON kafka_partition = number AND kafka_offset >= first AND kafka_offset < beyond "
    )  # fmt: skip
    row = await connection.fetchrow(
        f"SELECT count(*) AS records, coalesce(sum(bytes), 0)::bigint AS bytes, "  # noqa: S608 - names of ours
        f"count(DISTINCT agent_id) AS agents, min({at}) AS first, max({at}) AS last FROM envelope {join}"
        f"WHERE stream = $1 AND ($2::uuid[] IS NULL OR agent_id = ANY($2)) "
        f"AND ($3::timestamptz IS NULL OR {at} >= $3) AND ($4::timestamptz IS NULL OR {at} < $4)",
        *(asked.topic.removeprefix("envelopes."), [UUID(agent) for agent in asked.agents] or None),
        *(_from_ms(asked.since_ms), _from_ms(asked.until_ms)),
        *([list(column) for column in zip(*places, strict=True)] or [[], [], []] if join else ()),
    )
    assert row is not None
    return Expected(row["records"], row["bytes"], row["agents"], _to_ms(row["first"]), _to_ms(row["last"]))


async def choose_node(connection: Connection, here: str, asked: Asked) -> str:
    """Which node runs it: this one if it mines, else the mining node with the fewest runs before it.

    What is read from the archive is read here, where an archive is known to be; so is all where no node mines.
    """
    if asked.source == "archive":
        return here
    row = await connection.fetchrow(_CHOICE, here)
    return here if row is None else str(row["node"])


async def begin(
    connection: Connection,
    run_id: str,
    node: str,
    asked: Asked,
    *,
    records_per_s: float,
    actor: str,
    purpose: str,
    expected: Expected,
) -> Job:
    """Have `node` run it, one at a time; the others wait. It was audited."""
    row = await connection.fetchrow(
        "INSERT INTO replay_job (run_id, node_id, request, records_per_s, actor, purpose, expected_records, "
        "expected_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
        *(run_id, node, json.dumps(asked.to_json()), records_per_s, actor, purpose),
        *(expected.records, expected.bytes),
    )
    return as_job(row)


async def require_cancellable(connection: Connection, run_id: str) -> None:
    """Raise `RefusedReplayError` for a run that has ended, or that there is not."""
    await _require(connection, run_id, {"waiting", "running"}, "has ended already")


async def cancel(connection: Connection, run_id: str) -> Job:
    """Wish that it ends in order: what it has done stays. It was audited."""
    return await _wish(connection, run_id, "wanted = 'cancel'")


async def require_resumable(connection: Connection, run_id: str) -> None:
    """Raise `RefusedReplayError` for a run that needs nobody to go on, or that there is not."""
    await _require(connection, run_id, {"cancelled", "stopped", "failed"}, "runs, or is done")


async def resume(connection: Connection, run_id: str) -> Job:
    """Wish that it goes on, on the node that ran it. It was audited."""
    return await _wish(connection, run_id, "wanted = 'run', state = 'waiting', fault = ''")


async def fetch(connection: Connection, run_id: str) -> Job:
    """The run of that id; raises `RefusedReplayError`."""
    row = await connection.fetchrow("SELECT * FROM replay_job WHERE run_id = $1", run_id)
    if row is None:
        raise _unknown(run_id)
    return as_job(row)


async def fetch_all(connection: Connection, node: str = "") -> Sequence[Job]:
    """The newest runs, of all nodes or of one, newest first."""
    rows = await connection.fetch(
        "SELECT * FROM replay_job WHERE $1 IN ('', node_id) ORDER BY asked_at DESC LIMIT $2", node, LISTED
    )
    return [as_job(row) for row in rows]


def as_job(row: Mapping[str, Any] | None) -> Job:
    """A row of the table, which must be there."""
    assert row is not None
    state = row["state"]
    silent_s = (datetime.now(UTC) - row["changed_at"]).total_seconds()
    if state in {"waiting", "running"} and silent_s > SILENT_S:
        state = "interrupted"
    if state == "running" and row["wanted"] == "cancel":
        state = "cancelling"
    return Job(
        **{name: row[name] for name in ("run_id", "node_id", "fault", "actor", "purpose")},
        **{name: row[name] for name in ("expected_records", "expected_bytes")},
        state=state,
        asked=json.loads(row["request"]),
        asked_ms=_to_ms(row["asked_at"]) or 0,
        changed_ms=_to_ms(row["changed_at"]) or 0,
        progress=json.loads(row["progress"]),
    )


async def _require(connection: Connection, run_id: str, states: set[str], otherwise: str) -> None:
    state = await connection.fetchval("SELECT state FROM replay_job WHERE run_id = $1", run_id)
    if state is None:
        raise _unknown(run_id)
    if state not in states:
        raise RefusedReplayError("out_of_turn", f"replay {run_id} {otherwise}")


async def _wish(connection: Connection, run_id: str, change: str) -> Job:
    statement = f"UPDATE replay_job SET {change}, changed_at = now() WHERE run_id = $1 RETURNING *"  # noqa: S608 - ours
    return as_job(await connection.fetchrow(statement, run_id))


def _unknown(run_id: str) -> RefusedReplayError:
    return RefusedReplayError(
        "not_found", f"nobody asked here for a replay {run_id}: `sealstream replay list` has others"
    )


def _held(asked: Asked, extents: Extents) -> Extents:
    """What Kafka still has of the topic, within the offsets that were asked for."""
    if not asked.offsets:
        return extents
    held: dict[int, tuple[int, int]] = {}
    for one in asked.offsets:
        if one.partition in extents:
            first, end = extents[one.partition]
            held[one.partition] = max(first, one.first), end if one.end is None else min(end, one.end)
    return held


def _from_ms(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else _EPOCH + timedelta(milliseconds=time_ms)


def _to_ms(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(milliseconds=1)
