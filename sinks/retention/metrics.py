"""What the process that writes the archive shows of retention, by `sinks.metrics`.

Never labelled by agent or person.
"""

from __future__ import annotations

from infra.metrics import Metrics, Rows
from sinks.metrics import ERASED, ERASED_BYTES, LAST_RUN, OLDEST
from sinks.retention.run import Tally
from sinks.retention.survey import Oldest


class RetentionMeter:
    """Shows runs and what they left."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._oldest = Rows[tuple[str, str]](metrics.gauge(OLDEST), lambda place: place)

    def ran(self, tally: Tally) -> None:
        """What a run erased, whether or not it succeeded."""
        for place, count in tally.counts.items():
            self._metrics.counter(ERASED).labels(*place).inc(count)
        self._metrics.counter(ERASED_BYTES).labels("archive").inc(tally.bytes)

    def show(self, oldest: Oldest) -> None:
        """What is the oldest that there is."""
        self._oldest.show({place: at.timestamp() for place, at in oldest.items()})

    def waits_since(self, last_s: float) -> None:
        """When a run last succeeded, or since when one has been due."""
        self._metrics.gauge(LAST_RUN).labels("done").set(last_s)
