"""The jobs of a reader: each in steps that yield bytes of its answer, or nothing, so that others get their turn.

Never yields plaintext of what is end to end, nor anything from outside the time that was asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.recordings.asking import Ask, Job
from gateway.recordings.library import Group, Library, last_epoch, opened_of
from gateway.recordings.messages import about_composed, about_group, encode_message
from schemas.errors import MalformedError, OpenError
from schemas.kinds import ContentType, StreamKind

if TYPE_CHECKING:
    from gateway.recordings.screens import Pictures, Rewound
    from schemas.opening import Opened
    from schemas.records import Record

Result = dict[str, Any]
Steps = Generator[bytes, None, Result]

MOST_BEFORE_BYTES = 96 * 1024 * 1024
"""Of screens before the time asked for: what is older waits for the next key frame."""

TERMINAL_BEFORE_BYTES = 8 * 1024 * 1024

_LOOK_EVERY = 256
_STARTED = {StreamKind.SCREEN: "start", StreamKind.KEYSTROKES: "terminal"}
"""Streams of which the first moment says little without what came before it, and the option that asks for that."""

_STRADDLING = 4
"""So many of the segments before a moment are looked at for frames after it."""


@dataclass(slots=True)
class Tools:
    """What the jobs of one reader share."""

    library: Library
    cache_bytes: int
    spans: dict[tuple[bytes, int], list[Any]] = field(default_factory=dict)
    """Of segments of activity that were read: their spans."""
    _pictures: Pictures | None = None

    @property
    def pictures(self) -> Pictures:
        """Displays that were drawn; numpy comes with the first of them."""
        if self._pictures is None:
            from gateway.recordings.screens import Pictures

            self._pictures = Pictures(self.cache_bytes)
        return self._pictures


def serve(tools: Tools, ask: Ask) -> Steps:
    """The steps of what is asked."""
    from gateway.recordings import activity, frame, text

    jobs: dict[Job, Callable[[Tools, Ask], Steps]] = {
        Job.SEGMENTS: lambda tools, ask: Work(tools, ask).segments(),
        Job.ENVELOPES: lambda tools, ask: Work(tools, ask).envelopes(),
        Job.FRAME: frame.serve_frame,
        Job.TEXT: text.serve_text,
        Job.ACTIVITY: activity.serve_activity,
    }
    return jobs[ask.job](tools, ask)


class Work:
    """One request for what was recorded, as it goes on."""

    def __init__(self, tools: Tools, ask: Ask) -> None:
        self._tools = tools
        self._ask = ask
        self._counts: Counter[str] = Counter()
        self.visit = tools.library.visit(ask)

    def segments(self) -> Steps:
        """Messages, each after its length: what opens in plaintext, what is end to end as it is."""
        for kind in self._ask.kinds:
            for agent in self._ask.agents:
                yield from self._one_stream(kind, agent)
        return {**self._counts, "reads": self.visit.reads}

    def envelopes(self) -> Steps:
        """Envelopes as they are, each after its length; of screens from the beginning of the last epoch before."""
        for kind in self._ask.kinds:
            for agent in self._ask.agents:
                before: list[Group] = []
                for group in self.visit.groups(kind, agent):
                    if group.capture_ms < self._ask.since_ms:
                        before.append(group)
                        continue
                    yield from self._as_they_are(self._epoch_before(kind, agent, before))
                    before = []
                    if self._ask.holds(group.capture_ms):
                        yield from self._as_they_are([group])
                yield from self._as_they_are(self._epoch_before(kind, agent, before))
        return {**self._counts, "reads": self.visit.reads}

    def find_start(self, agent: bytes, before: list[Group], until_us: int) -> Generator[bytes, None, Rewound]:
        """Back to the last key frames; what lies further away is read only when they are not met before."""
        from gateway.recordings.screens import rewind

        def opening(group: Group) -> Opened | None:
            return opened_of(self.visit, group)

        only = self._ask.options.get("display")
        found = yield from rewind(before, opening, self._tools.pictures, until_us, only)
        enough = found.complete or (found.sealed and _has_start(before))
        if not enough and self._ask.places(StreamKind.SCREEN, far=True):
            before[:0] = list(self.visit.groups(StreamKind.SCREEN, agent, far=True))
            bound(before, MOST_BEFORE_BYTES)
            if not found.sealed:
                found = yield from rewind(before, opening, self._tools.pictures, until_us, only)
        return found

    def _one_stream(self, kind: StreamKind, agent: bytes) -> Generator[bytes]:
        before: list[Group] = []
        option = _STARTED.get(kind)
        started = option is None or not self._ask.options.get(option)
        for group in self.visit.groups(kind, agent):
            if group.capture_ms < self._ask.since_ms:
                if not started:
                    before.append(group)
                    if len(before) % _LOOK_EVERY == 0:
                        bound(before, MOST_BEFORE_BYTES)
                continue
            if not self._ask.holds(group.capture_ms):
                continue
            if not started:
                started = True
                yield from self._begin(kind, agent, before)
                before = []
            yield from self._messages(group)
        if not started:
            yield from self._begin(kind, agent, before)

    def _begin(self, kind: StreamKind, agent: bytes, before: list[Group]) -> Generator[bytes]:
        """What has to be known to understand the first moment."""
        if kind is StreamKind.SCREEN:
            yield from self._begin_screens(agent, before)
            return
        bound(before, TERMINAL_BEFORE_BYTES)
        for group in before:
            yield from self._messages(group, before=True)

    def _begin_screens(self, agent: bytes, before: list[Group]) -> Generator[bytes]:
        from gateway.recordings.screens import draw, whole_frame
        from schemas.records import encode_segment

        since_us = self._ask.since_ms * 1000
        found = yield from self.find_start(agent, before, since_us)
        if found.sealed:
            for group in last_epoch(before):
                yield from self._messages(group, before=True)
            return
        self._counts["damaged"] += found.damaged
        shown = yield from draw(found, self._tools.pictures)
        frames: list[Record] = []
        for _, picture in sorted(shown.items()):
            frames.append(whole_frame(picture))
            yield b""
        frames += self._late_frames(before, since_us)
        if frames:
            self._counts["segments"] += 1
            body = encode_segment(StreamKind.SCREEN, frames)
            yield encode_message(about_composed(before[-1], self._ask.since_ms), body)

    def _late_frames(self, before: Sequence[Group], since_us: int) -> list[Record]:
        """Frames after `since_us` of the segment that began before it."""
        from schemas.records import decode_segment

        for group in reversed(before[-_STRADDLING:]):
            try:
                opened = opened_of(self.visit, group)
                if opened is not None and opened.record.content_type == ContentType.SEGMENT:
                    return [one for one in decode_segment(group.kind, opened.plaintext) if one["time_us"] > since_us]
            except (OpenError, MalformedError):
                continue
        return []

    def _messages(self, group: Group, *, before: bool = False) -> Iterator[bytes]:
        """What goes out of one segment."""
        try:
            envelopes = self.visit.envelopes(group)
            if len(envelopes) < len(group.entries):
                return
            if self.visit.is_end_to_end(envelopes):
                for number, envelope in enumerate(envelopes):
                    self._counts["sealed"] += 1
                    self._counts["bytes"] += len(envelope)
                    yield encode_message(about_group(group, number, sealed=True, before=before), envelope)
                return
            opened = self.visit.open(envelopes)
        except OpenError:
            self._counts["other_keks"] += 1
            return
        except MalformedError:
            self._counts["damaged"] += 1
            return
        self._counts["segments"] += 1
        self._counts["bytes"] += len(opened.plaintext)
        yield encode_message(about_group(group, 0, sealed=False, before=before), opened.plaintext)

    def _epoch_before(self, kind: StreamKind, agent: bytes, before: list[Group]) -> list[Group]:
        """Of screens the last epoch before the time asked for."""
        if kind is not StreamKind.SCREEN or not before or not self._ask.options.get("start"):
            return []
        if not _has_start(before):
            before = [*self.visit.groups(kind, agent, far=True), *before]
        return last_epoch(before)

    def _as_they_are(self, groups: Sequence[Group]) -> Iterator[bytes]:
        for group in groups:
            for envelope in self.visit.envelopes(group):
                self._counts["envelopes"] += 1
                self._counts["bytes"] += len(envelope)
                yield len(envelope).to_bytes(4, "big") + envelope


def _has_start(groups: Sequence[Group]) -> bool:
    """Whether the last epoch is there from its beginning."""
    return bool(groups) and last_epoch(groups)[0].first.id.sequence == 0


def bound(groups: list[Group], most: int) -> None:
    """Keep the newest of them, up to `most` bytes."""
    size = sum(group.size for group in groups[-1:])
    for number in range(len(groups) - 2, -1, -1):
        size += groups[number].size
        if size > most:
            del groups[: number + 1]
            return
