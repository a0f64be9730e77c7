"""Gaps: holes that agents tell of, as lifecycle events that operators see.

Never hides a hole because its envelope came twice: the fact is the same, and it says which envelopes are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from schemas.envelope import Peeker
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.lifecycle import GAP_ID
from schemas.opening import Opener
from schemas.records import Record
from schemas.topics import envelope_topic
from streams.incoming import Incoming
from streams.mine import check_place, decode
from streams.outgoing import Outgoing, lifecycle_event
from streams.processor import Stateless
from streams.segment import Segment

TOPIC = envelope_topic(StreamKind.GAP)
_REMEMBERED = 4096
_STREAMS = frozenset(kind.label for kind in StreamKind)


def gap_events(segment: Segment, reporter: str) -> list[Record]:
    """One `gap` event of the agent for each hole."""
    return [
        {
            "time_ms": event["time_us"] // 1000,
            "subject": "agent",
            "id": segment.id.agent,
            "event": "gap",
            "role": "",
            "address": "",
            "incarnation": segment.id.epoch_id.hex()[:12],
            "reporter": reporter,
            "detail": _detail(segment, event, ordinal),
        }
        for ordinal, event in enumerate(segment.events)
    ]


def _detail(segment: Segment, event: Record, ordinal: int) -> dict[str, str]:
    known = {
        GAP_ID: f"{segment.id.epoch_id.hex()}-{segment.id.sequence}-{ordinal}",
        "stream": event["stream"],
        "reason": event["reason"],
        "user": segment.user,
        "computer": segment.computer,
        "epoch": event["epoch_id"].hex(),
        "first": event["first_sequence"],
        "last": event["last_sequence"],
        "from_us": event["from_us"],
        "until_us": event["until_us"],
        "lost_bytes": event["lost_bytes"] or None,
        "note": event["detail"],
    }
    return {name: str(value) for name, value in known.items() if value not in (None, "")}


class GapProcessor(Stateless):
    """The processor `gaps`. An envelope that an agent pushed twice is told once, as far as memory reaches."""

    stage = "gaps"

    def __init__(self, opener: Opener, reporter: str) -> None:
        self._opener = opener
        self._reporter = reporter
        self._peeker = Peeker()
        self._told: dict[tuple[bytes, int], None] = {}
        self.told: Counter[str] = Counter()
        """Holes that were told, by stream; a stream that is none of ours is `other`."""

    async def process(self, record: Incoming) -> Sequence[Outgoing]:
        """The gaps that the envelope tells of."""
        seen = self._peeker.peek(record.value)
        check_place(record, seen)
        told = (seen.epoch.epoch_id, seen.record.sequence)
        if seen.epoch.end_to_end or told in self._told:
            return []
        segment = await decode(self._opener.open(record.value), record)
        self._told[told] = None
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        events = gap_events(segment, self._reporter)
        self.told.update(
            stream if (stream := event["detail"].get("stream", "")) in _STREAMS else "other" for event in events
        )
        return [lifecycle_event(event) for event in events]

    async def forget(self, record: Incoming) -> None:
        """Its gaps may not have been told."""
        try:
            seen = self._peeker.peek(record.value)
        except MalformedError:
            return
        self._told.pop((seen.epoch.epoch_id, seen.record.sequence), None)
