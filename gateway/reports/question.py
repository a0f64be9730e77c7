"""What a report is asked for: whose activity, when, and by what it is added up.

Never holds a scope that is wider than the account's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

KEYS = {
    "person": "a.user_name",
    "team": "m.team",
    "application": "a.application",
    "day": "a.day",
    "hour": "a.hour",
    "weekday": "a.weekday",
    "hour_of_day": "a.hour_of_day",
}
"""What activity can be added up by, and where that stands."""


@dataclass(frozen=True, slots=True)
class Question:
    """One report. `persons`: user names, `None` for everybody; empty teams and applications are all of them."""

    since: datetime
    until: datetime
    by: Sequence[str] = ("person",)
    persons: Sequence[str] | None = None
    teams: Sequence[str] = ()
    applications: Sequence[str] = ()
    limit: int = 1000
    offset: int = 0
