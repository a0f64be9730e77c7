"""How long this gateway takes to acknowledge an envelope, from its own histogram, over the last minute.

Never measures anything by itself: it compares what the histogram said now and then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.rates import Latencies

if TYPE_CHECKING:
    from infra.metrics import Metrics

METRIC = "gateway_ack_seconds"


class AckMeter:
    """Looks whenever it is asked to."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._latencies = Latencies()

    def look(self) -> None:
        """See what the histogram says now."""
        buckets = {
            float(sample.labels["le"]): sample.value
            for family in self._metrics.histogram(METRIC).collect()
            for sample in family.samples
            if sample.name.endswith("_bucket")
        }
        self._latencies.look(time.monotonic(), buckets)

    def told(self) -> dict[str, float]:
        """`ack_per_s`, and, when there were any, `ack_p50_ms` and `ack_p99_ms`."""
        p50, p99 = self._latencies.percentile(0.5), self._latencies.percentile(0.99)
        values = {
            "ack_per_s": self._latencies.per_second(),
            "ack_p50_ms": None if p50 is None else 1000 * p50,
            "ack_p99_ms": None if p99 is None else 1000 * p99,
        }
        return {name: round(value, 3) for name, value in values.items() if value is not None}

    def look_and_tell(self) -> dict[str, float]:
        """Both, for who tells regularly how this process does."""
        self.look()
        return self.told()
