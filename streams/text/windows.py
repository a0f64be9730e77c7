"""Window titles to documents: the titles that are new within an epoch.

Never repeats a title within an epoch: it stands in front for hours, a span at a time.
"""

from __future__ import annotations

from schemas.records import Record
from streams.segment import Segment


class WindowReader:
    """The titles of one agent's windows. What it says depends on the epoch's segments so far alone."""

    def __init__(self) -> None:
        self._epoch = b""
        self._known: set[tuple[str, str, str]] = set()

    def read(self, segment: Segment) -> list[Record]:
        """At most one document: the titles and paths that this segment adds."""
        if segment.id.epoch_id != self._epoch:
            self._epoch, self._known = segment.id.epoch_id, set()
        fresh: list[Record] = []
        for event in segment.events:
            seen = (event["application"], event["title"], event["path"])
            if (event["title"] or event["path"]) and seen not in self._known:
                self._known.add(seen)
                fresh.append(event)
        if not fresh:
            return []
        first, last = fresh[0], fresh[-1]
        lines = dict.fromkeys(part for event in fresh for part in (event["title"], event["path"]) if part)
        return [
            segment.document(
                "window",
                time_ms=first["time_us"] // 1000,
                until_ms=(last["time_us"] + last["duration_us"]) // 1000,
                application=first["application"],
                title=first["title"] or first["path"],
                text="\n".join(lines),
            )
        ]
