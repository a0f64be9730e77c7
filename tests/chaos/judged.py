"""Whom the fleet's judge gave up though they lived: they were heard again under the same incarnation.

Never says whether that was wrong: a node that a fault cut off or stopped for long enough is rightly lost.
"""

from __future__ import annotations

import time

from infra.settings import Settings
from schemas.records import decode_record
from schemas.topics import LIFECYCLE
from tests.live.operator import read_topic


def heard_again(settings: Settings) -> list[str]:
    """`NODE/PROCESS lost 07:31:02, heard 07:31:09`, in the order of the topic."""
    lost: dict[tuple[str, str], int] = {}
    told: list[str] = []
    for record in read_topic(settings, LIFECYCLE.name):
        fact = decode_record(record.value() or b"", "lifecycle_event")
        who = fact["id"], fact["incarnation"]
        if fact["event"] == "lost":
            lost[who] = fact["time_ms"]
        elif fact["event"] == "ready" and who in lost:
            told.append(f"{fact['id']} lost {_clock(lost.pop(who))}, heard {_clock(fact['time_ms'])}")
    return told


def _clock(time_ms: int) -> str:
    return time.strftime("%X", time.localtime(time_ms / 1000))
