"""What the consumer loop counts.

Never decides anything: a loop whose meter does nothing behaves the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Waits(NamedTuple):
    """What of a partition is not committed: how many records, and for how many seconds the oldest, as far as known."""

    records: int
    oldest_s: float


@dataclass
class Meter:
    """Counts in memory; `sinks.metrics` shows them to Prometheus."""

    records: int = 0
    bytes: int = 0
    batches: int = 0
    write_s: float = 0.0
    retries: int = 0
    rebalances: int = 0
    waits: bool = False
    rejects: Counter[str] = field(default_factory=Counter)
    lags: dict[tuple[str, int], int] = field(default_factory=dict)

    def stored(self, records: int, size: int, seconds: float, oldest_ms: int = 0) -> None:  # noqa: ARG002 - for who shows it
        """A batch is durable; its oldest record is of that time."""
        self.records += records
        self.bytes += size
        self.batches += 1
        self.write_s += seconds

    def rejected(self, reasons: list[str]) -> None:
        """The store refused records for good, for these reasons."""
        self.rejects.update(reasons)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """How many records of the partition are not committed."""
        self.lags[topic, partition] = records

    def show(self, waits: Mapping[tuple[str, int], Waits], held_bytes: int) -> None:  # noqa: ARG002 - likewise
        """What waits in every partition that is ours; others are somebody else's. `held_bytes` are in memory."""
        self.lags = {place: one.records for place, one in waits.items()}

    def assigned(self) -> None:
        """Partitions were given anew."""
        self.rebalances += 1

    def waiting(self, waits: bool) -> None:  # noqa: FBT001  # a state, not an option
        """Whether the store is being waited for: told after each attempt that failed, and when one did not."""
        self.retries += waits
        self.waits = waits
