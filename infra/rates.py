"""Counters turned into rates, and histograms into percentiles, over the last minute.

Pure values; the time is an argument. Never tells a rate before there are two looks to compare.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

MINUTE_S = 60.0


class Rates:
    """Counters that only grow, looked at now and then.

    One that went back (a topic made anew) begins again, and so do all where nobody looked for longer than the window.
    """

    def __init__(self, window_s: float = MINUTE_S) -> None:
        self._window_s = window_s
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def look(self, now_s: float, counters: Mapping[str, float]) -> None:
        """What the counters say now."""
        newest = self._looks[-1][1] if self._looks else {}
        slept = bool(self._looks) and now_s - self._looks[-1][0] > self._window_s
        if slept or any(counters.get(name, value) < value for name, value in newest.items()):
            self._looks.clear()
        self._looks.append((now_s, dict(counters)))
        while len(self._looks) > 2 and self._looks[1][0] <= now_s - self._window_s:
            self._looks.popleft()

    def per_second(self, name: str) -> float | None:
        """The rate over the window; none while it is not known."""
        if len(self._looks) < 2:
            return None
        (began, before), (ended, after) = self._looks[0], self._looks[-1]
        if name not in after or ended <= began:
            return None
        return (after[name] - before.get(name, after[name])) / (ended - began)


def percentile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the observations lie, between the bounds of its bucket.

    `counts` are those of each bucket alone, the last one of what is beyond all `bounds`; none without observations.
    """
    wanted = sum(counts) * share
    if not wanted:
        return None
    below = 0.0
    for index, count in enumerate(counts):
        if below + count >= wanted and count:
            low = bounds[index - 1] if index else 0.0
            high = bounds[index] if index < len(bounds) else low
            return low + (high - low) * (wanted - below) / count
        below += count
    return bounds[-1]


class Latencies:
    """A Prometheus histogram's cumulative buckets, looked at now and then."""

    def __init__(self, window_s: float = MINUTE_S) -> None:
        self._rates = Rates(window_s)
        self._bounds: list[float] = []

    def look(self, now_s: float, buckets: Mapping[float, float]) -> None:
        """`buckets`: upper bound (the last is infinite) to the observations at or below it."""
        self._bounds = sorted(buckets)
        self._rates.look(now_s, {str(bound): buckets[bound] for bound in self._bounds})

    def per_second(self) -> float | None:
        """Observations a second."""
        return self._rates.per_second(str(self._bounds[-1])) if self._bounds else None

    def percentile(self, share: float) -> float | None:
        """Over the window; none without observations."""
        cumulative = [self._rates.per_second(str(bound)) or 0.0 for bound in self._bounds]
        alone = [after - before for before, after in zip([0.0, *cumulative], cumulative, strict=False)]
        return percentile(self._bounds[:-1], alone, share) if alone else None
