"""What is too old, and what is kept all the same: days and holds as values.

Pure: no clock and no store. A day is one of UTC; of what is kept for N days, a day goes when N whole days followed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from infra.settings import RetentionSettings

ACTIVITY, ALERTS, SESSIONS, OTHER = "activity sums", "alerts", "sessions", "other"
"""What is kept beside streams: sums of activity, alerts, agents' connections, and what tells of no stream."""

_FIRST, _LAST = date(1, 1, 2), date(9999, 12, 30)


def midnight(day: date) -> datetime:
    """When a day begins."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, slots=True)
class Periods:
    """How many days each kind is kept (0: for ever), and the first day that is kept, of kinds that ever go."""

    days: Mapping[str, int]
    first_kept: Mapping[str, date]

    @classmethod
    def of(cls, settings: RetentionSettings, now: datetime) -> Periods:
        """As the settings say, at that time."""
        days = {
            **{kind.label: settings.days_of(kind) for kind in StreamKind},
            ACTIVITY: settings.days_of_activity,
            ALERTS: settings.days_of_alerts,
            SESSIONS: settings.days_of_sessions,
            OTHER: settings.days,
        }
        today = now.astimezone(UTC).date()
        return cls(days, {name: today - timedelta(days=count) for name, count in days.items() if count})

    def before(self, names: Iterable[str]) -> dict[str, datetime]:
        """Of these kinds, those that are not kept for ever, with the moment before which they go."""
        return {name: midnight(self.first_kept[name]) for name in names if name in self.first_kept}


@dataclass(frozen=True, slots=True)
class Hold:
    """Agents of which nothing goes from one day to another, both included."""

    agents: frozenset[bytes]
    since: date = _FIRST
    until: date = _LAST

    def covers(self, agent_id: bytes, day: date) -> bool:
        """Whether this agent's day is held."""
        return agent_id in self.agents and self.since <= day <= self.until


@dataclass(frozen=True, slots=True)
class Kept:
    """Every hold in force. `only`: the agents that are looked at in the first place; everybody, when there is none."""

    holds: tuple[Hold, ...] = ()
    only: frozenset[bytes] | None = None

    def keeps(self, agent_id: bytes, day: date) -> bool:
        """Whether what this agent recorded on that day stays, however old it is."""
        if self.only is not None and agent_id not in self.only:
            return True
        return any(hold.covers(agent_id, day) for hold in self.holds)

    def keeps_epochs(self, agent_id: bytes, day: date) -> bool:
        """Likewise for epochs that began on that day: what they recorded may be of the day after."""
        return self.keeps(agent_id, day) or self.keeps(agent_id, day + timedelta(days=1))

    def spans(self, *, epochs: bool = False) -> list[tuple[bytes, datetime, datetime]]:
        """Agent, first moment and first moment after of everything held, for stores that compare times themselves."""
        early = timedelta(days=1 if epochs else 0)
        return [
            (agent, midnight(hold.since - early), midnight(hold.until + timedelta(days=1)))
            for hold in self.holds
            for agent in sorted(hold.agents)
        ]
