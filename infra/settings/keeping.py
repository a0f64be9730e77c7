"""The table about how long what was recorded is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from infra.settings.group import Group
from schemas.kinds import StreamKind

Days = Annotated[int, Field(ge=0, le=36_500)]

CONTENT = (StreamKind.SCREEN, StreamKind.KEYSTROKES, StreamKind.EMAIL, StreamKind.AUDIO)
"""Streams whose text the stream `index` may hold, sealed."""


class RetentionSettings(Group):
    """For how many days what was recorded is kept; what is older is erased. The same on every node."""

    days: Days = 0
    """Days for which everything is kept that has no number of its own; 0 for ever."""
    streams: dict[str, Days] = {}
    """Days of single streams, such as `{ screen = 30, keystrokes = 90 }`."""
    activity_days: Days | None = None
    """Days of the sums of activity, which reports show; as `days` when not given."""
    alerts_days: Days | None = None
    """Days of alerts; as `days` when not given."""
    hour: Annotated[int, Field(ge=0, le=23)] = 2
    """Hour of the day (UTC) from which on what is too old is erased."""

    @field_validator("streams")
    @classmethod
    def _know_streams(cls, streams: dict[str, int]) -> dict[str, int]:
        for label in streams:
            StreamKind.from_label(label)
        return streams

    @property
    def is_set(self) -> bool:
        """Whether anything is ever erased."""
        return any((self.days, self.activity_days, self.alerts_days, *self.streams.values()))

    def days_of(self, kind: StreamKind) -> int:
        """Days for which a stream is kept; 0 for ever. The index of texts goes with the first stream that goes."""
        if kind.label in self.streams:
            return self.streams[kind.label]
        if kind is StreamKind.INDEX:
            return min((days for days in (*map(self.days_of, CONTENT), self.days) if days), default=0)
        return self.days

    @property
    def days_of_activity(self) -> int:
        """Days for which sums of activity are kept; 0 for ever."""
        return self.days if self.activity_days is None else self.activity_days

    @property
    def days_of_alerts(self) -> int:
        """Days for which alerts are kept; 0 for ever."""
        return self.days if self.alerts_days is None else self.alerts_days

    @property
    def days_of_sessions(self) -> int:
        """Days for which connections of agents are kept, which tell whose recordings are whose: the longest of all."""
        every = [self.days, self.days_of_activity, self.days_of_alerts, *map(self.days_of, StreamKind)]
        return max(every) if all(every) else 0
