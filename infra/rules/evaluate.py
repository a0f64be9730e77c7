"""What rules match: pure values in, matches out. The live processor and the preview call `evaluate`, and nothing else.

Reads no clock and no store; the same observations make the same matches with the same ids, in whatever order they come.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from infra.rules.observation import MINUTE_MS, Observation, Subject
from infra.rules.rule import Rule, TimeSpan
from infra.rules.words import Globs, Wanted
from schemas.records import Record

MIB = 1024 * 1024
MAX_WINDOWS = 200_000
"""Windows that are kept; beyond it, the one that was not touched for longest is forgotten."""

_UNITS = {"documents": 1, "active_minutes": MINUTE_MS, "mebibytes": MIB}
_SUBJECTS: dict[str, Subject] = {
    "match": "document", "documents": "document", "active_minutes": "span", "mebibytes": "envelopes",
}  # fmt: skip


@dataclass(frozen=True)
class Week:
    """When a team works: of each weekday (1 to 7) the times from and until, local to the zone."""

    time_zone: str = "UTC"
    hours: Mapping[int, Sequence[tuple[time, time]]] = field(default_factory=dict)

    def works_at(self, time_ms: int) -> bool:
        """Whether that moment is within the hours of work."""
        at = local_time(time_ms, self.time_zone)
        return any(
            _within(at, weekday, since, until) for weekday, spans in self.hours.items() for since, until in spans
        )


@dataclass(frozen=True)
class World:
    """What rules refer to: teams with their members, and weeks by team, `''` being everybody else's."""

    teams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    weeks: Mapping[str, Week] = field(default_factory=dict)

    def has(self, person: str, teams: Iterable[str]) -> bool:
        """Whether one of the teams has that person."""
        return any(person in self.teams.get(team, ()) for team in teams)

    def people_of(self, teams: Iterable[str]) -> frozenset[str]:
        """Everybody whom one of the teams has."""
        return frozenset(person for team in teams for person in self.teams.get(team, ()))

    def week_of(self, person: str) -> Week:
        """The week of the first of the person's teams that has one."""
        return self._weeks.get(person) or self.weeks.get("", Week())

    @cached_property
    def _weeks(self) -> dict[str, Week]:
        found: dict[str, Week] = {}
        for team in sorted(self.weeks):
            for person in self.teams.get(team, ()):
                found.setdefault(person, self.weeks[team])
        return found


@dataclass(frozen=True)
class Match:
    """A rule matched `seen`; of a window, `seen` is what went beyond, `until_ms` its end, `amount` how much it was."""

    alert_id: str
    rule: Rule
    seen: Observation
    since_ms: int
    until_ms: int = 0
    amount: float = 0.0

    @property
    def record(self) -> Record:
        """The `Alert` record of it: names and numbers, nothing of the text."""
        volume = self.rule.conditions.volume
        detail = {"title": self.seen.title} if self.seen.title and volume is None else {}
        if volume is not None:
            detail |= {
                "window_from_ms": str(self.since_ms),
                "amount": f"{self.amount:.2f}".rstrip("0").rstrip("."),
                "more_than": f"{volume.more_than:g}",
                "within_minutes": str(volume.within_minutes),
            }
        return {
            "alert_id": self.alert_id,
            "time_ms": self.seen.time_ms,
            "until_ms": self.until_ms,
            "rule": str(self.rule.rule_id),
            "rule_name": self.rule.name,
            "rule_version": self.rule.version,
            "severity": self.rule.severity,
            "kind": self.rule.conditions.kind,
            "agent_id": self.seen.agent_id,
            "document_id": self.seen.identity if self.seen.subject == "document" else "",
            "person": self.seen.person,
            "computer": self.seen.computer,
            "stream": self.seen.stream,
            "application": self.seen.application,
            "detail": detail,
        }


class Check:
    """A rule made ready: its patterns compiled once."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.subject = _SUBJECTS[rule.conditions.kind]
        conditions = rule.conditions
        self.wanted = [Wanted(text) for text in conditions.words]
        self._named = [
            (Globs(globs), name)
            for globs, name in (
                (conditions.applications, "application"),
                (conditions.titles, "title"),
                (conditions.persons, "person"),
                (conditions.endpoints, "computer"),
            )
            if globs
        ]

    @property
    def window_ms(self) -> int:
        """How long its windows are; 0 where it does not count."""
        volume = self.rule.conditions.volume
        return 0 if volume is None else volume.within_minutes * MINUTE_MS

    def meets(self, seen: Observation, world: World) -> bool:
        """Whether all conditions but the volume are met."""
        return (
            seen.subject == self.subject
            and self._is_of(seen, world)
            and self._is_in_time(seen, world)
            and (not self.wanted or any(wanted.met_by(seen.flattened) for wanted in self.wanted))
        )

    def _is_of(self, seen: Observation, world: World) -> bool:
        streams, teams, concerns = self.rule.conditions.streams, self.rule.conditions.teams, self.rule.concerns
        if concerns is not None and not world.has(seen.person, concerns):
            return False
        if streams and seen.stream not in streams and seen.kind not in streams:
            return False
        if teams and not world.has(seen.person, teams):
            return False
        return all(globs.fit(getattr(seen, name)) for globs, name in self._named)

    def _is_in_time(self, seen: Observation, world: World) -> bool:
        conditions = self.rule.conditions
        if conditions.times and not _in_times(seen.time_ms, conditions.time_zone, conditions.times):
            return False
        return not (conditions.outside_working_hours and world.week_of(seen.person).works_at(seen.time_ms))

    def fragment(self, seen: Observation) -> str:
        """A piece of the text with what was asked for, marked; the beginning where no words were."""
        texts = [text for text in seen.texts if text]
        found = (wanted.fragment(texts) for wanted in self.wanted if wanted.met_by(seen.flattened))
        return next((piece for piece in found if piece), texts[0][:160] if texts else "")


@dataclass
class _Window:
    seen: set[str] = field(default_factory=set)
    amount: int = 0
    told: bool = False


class Windows:
    """How much there was of each rule, person and window. Seeing a thing again changes nothing."""

    def __init__(self, most: int = MAX_WINDOWS) -> None:
        self._most = most
        self._windows: OrderedDict[tuple[str, int, str, int], _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, rule: Rule, seen: Observation) -> Match | None:
        """Count `seen`; the match where it goes beyond the volume, once in each window."""
        volume = rule.conditions.volume
        assert volume is not None
        length_ms = volume.within_minutes * MINUTE_MS
        since_ms = seen.time_ms - seen.time_ms % length_ms
        key = str(rule.rule_id), rule.version, seen.person, since_ms
        window = self._windows.setdefault(key, _Window())
        self._windows.move_to_end(key)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        if window.told or seen.identity in window.seen:
            return None
        window.seen.add(seen.identity)
        window.amount += seen.amount
        amount = window.amount / _UNITS[volume.measure]
        if amount <= volume.more_than:
            return None
        window.told = True
        window.seen.clear()
        alert_id = alert_identity(rule, f"{seen.person}\0{since_ms}\0{length_ms}")
        return Match(alert_id, rule, seen, since_ms, since_ms + length_ms, amount)


def evaluate(checks: Iterable[Check], world: World, windows: Windows, seen: Observation) -> list[Match]:
    """What the rules say of one more observation; `windows` remembers what came before."""
    matches: list[Match] = []
    for check in checks:
        if not check.meets(seen, world):
            continue
        if check.rule.conditions.volume is None:
            alert_id = alert_identity(check.rule, seen.identity)
            matches.append(Match(alert_id, check.rule, seen, seen.time_ms, amount=1.0))
        elif (match := windows.add(check.rule, seen)) is not None:
            matches.append(match)
    return matches


def alert_identity(rule: Rule, what: str) -> str:
    """The id of an alert: the same for a rule and a document or window, however often it is found."""
    return hashlib.sha256(f"{rule.rule_id}\0{what}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _in_times(time_ms: int, zone: str, times: Iterable[TimeSpan]) -> bool:
    at = local_time(time_ms, zone)
    return any(_within(at, weekday, span.from_time, span.until_time) for span in times for weekday in span.weekdays)


def _within(at: datetime, weekday: int, since: time, until: time) -> bool:
    """Whether a local time is within the hours of a weekday, which may reach into the day after."""
    now = at.time()
    if since < until:
        return at.isoweekday() == weekday and since <= now < until
    if at.isoweekday() == weekday:
        return now >= since
    return (at - timedelta(days=1)).isoweekday() == weekday and now < until


def local_time(time_ms: int, zone: str) -> datetime:
    """That moment on the clocks of the zone."""
    return datetime.fromtimestamp(time_ms / 1000, _zone(zone))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
