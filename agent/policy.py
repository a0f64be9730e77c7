"""What may be recorded: the server's policy, as a value.

Never guesses: a policy that is not understood is refused as a whole, and the one before it stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.live import LIVE_STREAMS

MAX_FRAMES_PER_SECOND = 2.0
"""A screen is looked at twice a second at most, whatever a policy says."""

RECORDABLE = frozenset(kind.label for kind in StreamKind if kind is not StreamKind.INDEX)
"""Streams that a policy may list; `gap` is kept whether it is listed or not, since a hole must show."""

SEALABLE_END_TO_END = frozenset({"screen", "keystrokes", "email"})
"""Streams that may be sealed end to end (R6.1)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy. The default records nothing: recording takes a server's word.

    `version` only grows; titles and applications are globs (`*bank*`), compared without regard to case. Of streams that
    are sealed end to end, `blind_index` are those that may be searched by hashes of their words (R6.10), and
    `endpoint_ocr` says whether screens are read on the endpoint for that (R6.9). Of streams that are recorded, those in
    `live` may be watched or heard as they happen.
    """

    version: int = 0
    streams: frozenset[str] = frozenset()
    end_to_end: frozenset[str] = frozenset()
    blind_index: frozenset[str] = SEALABLE_END_TO_END
    endpoint_ocr: bool = False
    live: frozenset[str] = frozenset({"screen"})
    exclude_applications: tuple[str, ...] = ()
    exclude_titles: tuple[str, ...] = ()
    paused: bool = False
    pause_allowed: bool = True
    key_frame_interval_s: float = 300.0
    max_frames_per_second: float = 1.0
    idle_after_s: float = 60.0
    organisation: str = ""
    purpose: str = ""
    contact: str = ""

    def allows(self, kind: StreamKind | str) -> bool:
        """Whether events of that stream may be recorded now."""
        label = kind.label if isinstance(kind, StreamKind) else kind
        return label == StreamKind.GAP.label or (label in self.streams and not self.paused)

    def excludes(self, application: str, title: str) -> bool:
        """Whether a window of that application and title must not be recorded, by a glob on either."""
        return _matches(application, self.exclude_applications) or _matches(title, self.exclude_titles)

    def seals_end_to_end(self, kind: StreamKind) -> bool:
        """Whether that stream is sealed to the organisation's own KEK, which the server cannot use."""
        return kind.label in self.end_to_end

    def indexes(self, kind: StreamKind) -> bool:
        """Whether words of that stream are indexed blindly, where it is sealed end to end."""
        return kind.label in self.blind_index

    def allows_live(self, kind: StreamKind) -> bool:
        """Whether that stream may be watched or heard now: only what is recorded can be."""
        return kind.label in self.live and self.allows(kind)

    def to_json(self) -> dict[str, Any]:
        """The policy as Welcome, Policy and enrolment carry it, and the cache keeps it."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: _plain(value) for name, value in plain.items()}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Policy:
        """The policy in `body`; fields that this release does not know are ignored; raises `MalformedError`."""
        values = {field.name: _read(field.name, body[field.name]) for field in _FIELDS if field.name in body}
        policy = cls(**values)
        unknown = policy.streams - RECORDABLE
        if unknown:
            raise MalformedError(f"policy lists streams that there are not: {', '.join(sorted(unknown))}", "bad_policy")
        if not policy.end_to_end | policy.blind_index <= SEALABLE_END_TO_END:
            raise MalformedError("policy seals streams end to end that cannot be", "bad_policy")
        if not policy.live <= LIVE_STREAMS:
            raise MalformedError("policy lists streams as live that cannot be", "bad_policy")
        return policy


_FIELDS = dataclasses.fields(Policy)
_DEFAULTS = Policy()
_MINIMUM = {"key_frame_interval_s": 1.0, "max_frames_per_second": 0.01, "idle_after_s": 1.0, "version": 0}


def _matches(text: str, globs: tuple[str, ...]) -> bool:
    folded = text.lower()
    return any(fnmatchcase(folded, glob.lower()) for glob in globs)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    """One field of a policy as its type, or `MalformedError` that names the field and never its value."""
    default = getattr(_DEFAULTS, name)
    if isinstance(default, frozenset | tuple):
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return type(default)(value)
    elif isinstance(default, bool) or not isinstance(default, int | float):
        if type(value) is type(default):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and value >= _MINIMUM[name]:
        number = type(default)(value)
        return min(number, MAX_FRAMES_PER_SECOND) if name == "max_frames_per_second" else number
    raise MalformedError(f"policy field {name} is not usable", "bad_policy")
