"""A rule as a person writes it: what must be so of what was recorded, all of it together.

Never holds a rule that could not be judged: what is meaningless is refused here, with what to change.
"""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from infra.rules.words import Wanted
from schemas.errors import MalformedError

Severity = Literal["low", "medium", "high"]
Measure = Literal["documents", "active_minutes", "mebibytes"]
Kind = Literal["match", "documents", "active_minutes", "mebibytes"]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Texts = Annotated[tuple[Text, ...], Field(max_length=100)]
Source = Literal["screen", "keystrokes", "terminal", "email", "activity", "window", "audio", "gap", "index"]

_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"
LocalTime = Annotated[time, WithJsonSchema({"type": "string", "pattern": _CLOCK, "examples": ["09:00"]})]
"""A time of the clock without a zone, which the `time` of JSON Schema would have."""

DAY_MINUTES = 1440
_LACKING = {
    "active_minutes": ("words", "titles", "streams"),
    "mebibytes": ("words", "titles", "applications"),
}
"""Conditions that what is measured does not have."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TimeSpan(_Part):
    """Hours of some days of the week; one that does not end after it begins goes on into the next day."""

    weekdays: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], Field(min_length=1, max_length=7)]
    """1 is Monday, 7 is Sunday."""
    from_time: LocalTime
    """Local time of the rule's zone."""
    until_time: LocalTime
    """Likewise; the moment itself is not in it."""

    @field_validator("from_time", "until_time")
    @classmethod
    def _is_local(cls, at: time) -> time:
        if at.tzinfo is not None:
            raise ValueError("times are local to the zone of the rule: write 09:00")
        return at


class Volume(_Part):
    """How much within how long, per person: windows that follow each other from midnight UTC on."""

    measure: Measure
    """`documents`: matching documents; `active_minutes`: minutes of activity; `mebibytes`: size of sealed envelopes."""
    more_than: Annotated[float, Field(gt=0, le=1_000_000)]
    within_minutes: Annotated[int, Field(ge=1, le=DAY_MINUTES)]
    """A divisor of a day, such as 5, 15, 60, 240 or 1440."""

    @field_validator("within_minutes")
    @classmethod
    def _divides_a_day(cls, minutes: int) -> int:
        if DAY_MINUTES % minutes:
            raise ValueError("a day has no whole number of such windows: take 5, 10, 15, 30, 60, 120, 240, 480 or 1440")
        return minutes

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.measure == "active_minutes" and self.more_than >= self.within_minutes:
            raise ValueError("nobody is active for more minutes than the window has: lower the number")
        return self


class Conditions(_Part):
    """What must be so, all of it together; a list is met by any one of its values, an empty one by everything."""

    words: Texts = ()
    """Each all of its words, phrases in double quotes; `invoic*` is every word that begins so."""
    applications: Texts = ()
    """Names, with `*` and `?`."""
    titles: Texts = ()
    """Window titles or subjects, with `*` and `?`."""
    streams: Annotated[tuple[Source, ...], Field(max_length=16)] = ()
    """Streams or kinds of documents."""
    persons: Texts = ()
    """User names, with `*` and `?`."""
    teams: Texts = ()
    endpoints: Texts = ()
    """Names of computers, with `*` and `?`."""
    times: Annotated[tuple[TimeSpan, ...], Field(max_length=20)] = ()
    time_zone: str = "UTC"
    """Of `times`."""
    outside_working_hours: bool = False
    """Outside the hours of the person's team."""
    volume: Volume | None = None

    @field_validator("words")
    @classmethod
    def _has_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for one in words:
            try:
                Wanted(one)
            except MalformedError as error:
                raise ValueError(str(error)) from None
        return words

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}: write one such as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _is_meant(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name)} - {"time_zone"}
        if not given:
            raise ValueError("a rule needs a condition: words, an application, a title, a person, a time or a volume")
        lacking = _LACKING.get(self.kind, ())
        if wrong := sorted(given & set(lacking)):
            raise ValueError(
                f"{self.kind} cannot be told apart by {', '.join(wrong)}: take that out, or count documents"
            )
        return self

    @property
    def kind(self) -> Kind:
        """What kind of rule these make."""
        return "match" if self.volume is None else self.volume.measure


class Rule(_Part):
    """A rule with its name and how grave a match is."""

    rule_id: UUID
    name: Annotated[str, Field(min_length=1, max_length=120)]
    severity: Severity = "medium"
    version: int = 1
    enabled: bool = True
    concerns: tuple[str, ...] | None = None
    """Teams whose people it is about, as they are now, whatever the conditions say; `None`: everybody."""
    conditions: Conditions
