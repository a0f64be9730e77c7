"""A gap: a known hole in a stream, with why and how much.

Holds only what an envelope's clear header would show: a gap waits unsealed until it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.kinds import StreamKind
from schemas.records import Record


class GapReason(StrEnum):
    """Why there is a hole (`gap_segment.avsc`)."""

    UNKNOWN = "unknown"
    SPOOL_FULL = "spool_full"
    SPOOL_EXPIRED = "spool_expired"
    SPOOL_CORRUPT = "spool_corrupt"
    AGENT_KILLED = "agent_killed"
    CAPTURE_FAILED = "capture_failed"
    NOT_STORABLE = "not_storable"
    PAUSED = "paused"


class Mark(NamedTuple):
    """Where an envelope stands in its stream. Times are of its first and last event, microseconds."""

    kind: StreamKind
    epoch_id: bytes
    sequence: int
    from_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Gap:
    """One hole. Sequences are of lost envelopes; `None` where nobody can know."""

    stream: str
    reason: GapReason
    epoch_id: bytes = b""
    first_sequence: int | None = None
    last_sequence: int | None = None
    from_us: int | None = None
    until_us: int | None = None
    lost_bytes: int = 0
    detail: str = ""

    def to_event(self, now_us: int) -> Record:
        """The event of the gap stream, noticed at `now_us`."""
        return {**asdict(self), "reason": self.reason.value, "time_us": now_us}

    def to_json(self) -> dict[str, Any]:
        """The gap as the ledger keeps it."""
        return {**asdict(self), "epoch_id": self.epoch_id.hex()}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Gap:
        """The gap that `to_json` wrote; raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        return cls(**{**body, "reason": GapReason(body["reason"]), "epoch_id": bytes.fromhex(body["epoch_id"])})


def gaps_of(lost: Iterable[tuple[Mark, int]], reason: GapReason, detail: str = "") -> list[Gap]:
    """One gap for each run of consecutive envelopes that were lost, given with their sizes in bytes."""
    gaps: dict[tuple[StreamKind, bytes, int], Gap] = {}
    for mark, size in lost:
        before = gaps.pop((mark.kind, mark.epoch_id, mark.sequence), None)
        gap = before or Gap(
            mark.kind.label, reason, mark.epoch_id, mark.sequence, mark.sequence, mark.from_us, mark.until_us, 0, detail
        )
        gaps[mark.kind, mark.epoch_id, mark.sequence + 1] = replace(
            gap, last_sequence=mark.sequence, until_us=mark.until_us, lost_bytes=gap.lost_bytes + size
        )
    return list(gaps.values())


def merge_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """Fewer gaps that say the same: for each stream and reason one, from the first to the last."""
    merged: dict[tuple[str, GapReason], Gap] = {}
    for gap in gaps:
        held = merged.get((gap.stream, gap.reason))
        merged[gap.stream, gap.reason] = gap if held is None else _span(held, gap)
    return list(merged.values())


def _span(first: Gap, second: Gap) -> Gap:
    """Both as one; sequences of different epochs do not add up, so they are left out."""
    same_epoch = first.epoch_id == second.epoch_id
    starts = [at for at in (first.from_us, second.from_us) if at is not None]
    ends = [at for at in (first.until_us, second.until_us) if at is not None]
    return replace(
        first,
        epoch_id=first.epoch_id if same_epoch else b"",
        first_sequence=first.first_sequence if same_epoch else None,
        last_sequence=second.last_sequence if same_epoch else None,
        from_us=min(starts, default=None),
        until_us=max(ends, default=None),
        lost_bytes=first.lost_bytes + second.lost_bytes,
    )
