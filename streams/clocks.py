"""How far the clocks of nodes are from ours, by their heartbeats.

Reads no clock. Never takes a heartbeat that was late for a clock that is: of the last few the nearest counts.
"""

from __future__ import annotations

from collections import defaultdict, deque

_REMEMBERED = 5


class Clocks:
    """The difference of each node, in seconds: above 0 where its clock is behind ours."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def hear(self, process: str, time_ms: int, now_ms: int) -> None:
        """A heartbeat of a process `node/name` came, which says that it is `time_ms`."""
        self._seen[process.partition("/")[0]].append(now_ms - time_ms)

    def clear(self) -> None:
        """Somebody else listens from now on."""
        self._seen.clear()

    @property
    def differences_s(self) -> dict[str, float]:
        """Of each node that was heard."""
        return {node: min(seen, key=abs) / 1000 for node, seen in self._seen.items()}
