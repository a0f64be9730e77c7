"""What the consumer loop counts.

Never decides anything: a loop whose meter does nothing behaves the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Meter:
    """Counts in memory; `sinks.process` shows them to Prometheus."""

    records: int = 0
    bytes: int = 0
    batches: int = 0
    write_s: float = 0.0
    waits: bool = False
    rejects: Counter[str] = field(default_factory=Counter)
    lags: dict[tuple[str, int], int] = field(default_factory=dict)

    def stored(self, records: int, size: int, seconds: float) -> None:
        """A batch is durable."""
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

    def waiting(self, waits: bool) -> None:  # noqa: FBT001  # a state, not an option
        """Whether the store is being waited for."""
        self.waits = waits
