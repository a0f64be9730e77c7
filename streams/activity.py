"""Activity: what each segment adds to the totals of a person, an application and an hour.

Never adds up over segments: totals are sums of these spans, so that reading a segment twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from schemas.envelope import Peeker
from schemas.kinds import StreamKind
from schemas.opening import Opener, PartJoiner
from schemas.records import Record
from schemas.topics import envelope_topic
from streams.incoming import Incoming
from streams.mine import check_place, decode
from streams.outgoing import Outgoing, activity_span
from streams.processor import Stateless
from streams.segment import Segment

TOPIC = envelope_topic(StreamKind.ACTIVITY)
HOUR_US = 3_600_000_000
MAX_HOURS = 48
"""A single event that claims to last longer is cut: no person's span does."""


@dataclass(slots=True)
class _Total:
    active_us: int = 0
    idle_us: int = 0
    switches: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)


def activity_spans(segment: Segment) -> list[Record]:
    """The spans of a segment, by hour and application; events over the hour's end are split."""
    totals: dict[tuple[int, str], _Total] = {}
    for event in segment.events:
        if event["kind"] not in {"focus", "idle"}:
            continue
        start_us = event["time_us"]
        for hour_us, share_us, first in _by_hour(start_us, event["duration_us"]):
            total = totals.setdefault((hour_us, event["application"]), _Total())
            if event["kind"] == "idle":
                total.idle_us += share_us
            else:
                total.active_us += share_us
                total.switches += first
                begin_us = max(start_us, hour_us)
                total.runs.append((begin_us // 1000, (begin_us + share_us) // 1000))
    return [
        {
            "agent_id": segment.id.agent,
            "epoch_id": segment.id.epoch_id.hex(),
            "sequence": segment.id.sequence,
            "ordinal": ordinal,
            "user": segment.user,
            "computer": segment.computer,
            "application": application,
            "hour_ms": hour_us // 1000,
            "active_ms": total.active_us // 1000,
            "idle_ms": total.idle_us // 1000,
            "switches": total.switches,
            "active": [{"from_ms": begin_ms, "until_ms": end_ms} for begin_ms, end_ms in _joined(total.runs)],
        }
        for ordinal, ((hour_us, application), total) in enumerate(sorted(totals.items(), key=itemgetter(0)))
    ]


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs in their order, those that touch or overlap as one, and none that has no length."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(runs):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        elif end > begin:
            joined.append((begin, end))
    return joined


def _by_hour(start_us: int, duration_us: int) -> list[tuple[int, int, bool]]:
    """Shares of a span by the hour: the hour's start, microseconds in it, and whether the span begins there."""
    end_us = start_us + min(max(duration_us, 0), MAX_HOURS * HOUR_US)
    shares = [(start_us - start_us % HOUR_US, min(end_us, start_us - start_us % HOUR_US + HOUR_US) - start_us, True)]
    hour_us = shares[0][0] + HOUR_US
    while hour_us < end_us:
        shares.append((hour_us, min(end_us, hour_us + HOUR_US) - hour_us, False))
        hour_us += HOUR_US
    return shares


class ActivityProcessor(Stateless):
    """The processor `activity`. Its segments are small: one in parts is not expected, and is joined all the same."""

    stage = "activity"

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._peeker = Peeker()
        self._joiner = PartJoiner()

    async def process(self, record: Incoming) -> Sequence[Outgoing]:
        """The spans of the envelope's segment."""
        seen = self._peeker.peek(record.value)
        check_place(record, seen)
        if seen.epoch.end_to_end:
            return []
        whole = self._joiner.add(self._opener.open(record.value))
        return [] if whole is None else [activity_span(one) for one in activity_spans(await decode(whole, record))]
