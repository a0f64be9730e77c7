"""Acknowledgements as agents note them: read as they come, and how long there were none.

Never asks a server: an acknowledgement is what an agent has.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.live.load import ACCOUNT


@dataclass
class Tail:
    """The times of one agent's acknowledgements, by the machine's monotonic clock; reads what was added since."""

    path: Path
    times_s: list[float] = field(default_factory=list)
    _at: int = 0

    def read(self) -> Sequence[float]:
        """All of them until now."""
        if not self.path.exists():
            return self.times_s
        with self.path.open("rb") as account:
            account.seek(self._at)
            data = account.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        self.times_s += [float(line.split()[3]) for line in whole.splitlines() if line.startswith(b"ack ")]
        return self.times_s


class Acks:
    """Of several agents, by their directories."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._tails = {directory.name: Tail(directory / ACCOUNT) for directory in directories}

    def silent_since(self, since_s: float) -> list[str]:
        """Agents that had no acknowledgement since then."""
        return [name for name, tail in self._tails.items() if not (times := tail.read()) or times[-1] <= since_s]

    def pauses(self, since_s: float) -> Pauses:
        """The longest times without an acknowledgement since then: of all agents, and of one."""
        now_s = time.monotonic()
        times = {name: tail.read() for name, tail in self._tails.items()}
        of_each = longest_of_each(times, since_s, now_s)
        worst = max(of_each, key=lambda name: of_each[name])
        everybody = sorted(one for each in times.values() for one in each)
        return Pauses(longest_pause(everybody, since_s, now_s), of_each[worst], worst)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds: without any agent's acknowledgement, and without one of the agent that waited longest."""

    anybody_s: float
    worst_s: float
    worst: str


def longest_of_each(times: Mapping[str, Sequence[float]], since_s: float, now_s: float) -> dict[str, float]:
    """The longest pause of each."""
    return {name: longest_pause(each, since_s, now_s) for name, each in times.items()}


def longest_pause(times_s: Sequence[float], since_s: float, now_s: float) -> float:
    """The longest time between two of these within `since_s` and `now_s`; what began before counts from there on."""
    within = [since_s, *(time_s for time_s in times_s if since_s < time_s <= now_s), now_s]
    return max(after - before for before, after in pairwise(within))
