"""What is planned for: how many agents record how much, and how long it is kept.

Never passes on a load that nobody can mean: all that is wrong with it is told at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load. Raises `ConfigError` for one that makes no sense."""

    agents: int
    mb_per_hour: float = 10.0
    """Megabytes (10^6) of envelopes that an agent pushes in an hour of work."""
    hours_per_day: float = 8.0
    frames_per_second: float = 1.0
    retention_days: float = 90.0
    kafka_retention_days: float = 7.0
    replication: int = 3
    """Copies of a Kafka record. From 2 on the stores have two copies, and no role stands on one host."""
    end_to_end_share: float = 0.2
    """Of the screens: those are read on the endpoint, if at all."""
    peak_factor: float = 2.0
    """The busiest second beside the mean of an hour of work."""

    def __post_init__(self) -> None:
        wrong = [
            f"{option(name)} must be between {low:,.10g} and {high:,.10g}, not {getattr(self, name):,.10g}"
            for name, (low, high) in BOUNDS.items()
            if not low <= getattr(self, name) <= high  # NaN is not either
        ]
        wrong += [f"{option(name)} must be a whole number" for name in WHOLE if not is_whole(getattr(self, name))]
        if wrong:
            raise ConfigError("; ".join(wrong))


BOUNDS: dict[str, tuple[float, float]] = {
    "agents": (1, 10_000_000),
    "mb_per_hour": (0.01, 10_000),
    "hours_per_day": (0.1, 24),
    "frames_per_second": (0, 60),
    "retention_days": (1, 36_500),
    "kafka_retention_days": (0.01, 3650),
    "replication": (1, 10),
    "end_to_end_share": (0, 1),
    "peak_factor": (1, 100),
}
"""The least and the most of each."""

WHOLE = ("agents", "replication")


def option(name: str) -> str:
    """The option of the command line that sets it."""
    return "--" + name.replace("_", "-")


def is_whole(value: float) -> bool:
    """Whether it counts things."""
    return math.isfinite(value) and value == int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a month of each costs, in any one currency. None is not counted; nothing is priced by default."""

    host: float | None = None
    core: float | None = None
    gib_memory: float | None = None
    gib_disk: float | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"--price-{field.name.replace('_', '-')} must be 0 or more, not {value:g}"
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None and not 0 <= value < math.inf
        ]
        if wrong:
            raise ConfigError("; ".join(wrong))
