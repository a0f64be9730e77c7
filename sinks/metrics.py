"""The table of a sink's metrics, and the meter that shows them.

Never labelled by agent: ten thousand agents would be ten thousand time series.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from infra.lifecycle import wall_clock_ms
from infra.metrics import Kind, Metric, Metrics, Rows
from sinks.meter import Meter, Waits

_AGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0)
_RECORDS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
_BYTES = tuple(1024 * 4**power for power in range(9))
_PLACE = ("sink", "topic", "partition")

ERASED = "sealstream_retention_erased_total"
ERASED_BYTES = "sealstream_retention_erased_bytes_total"
LAST_RUN = "sealstream_retention_last_run_timestamp_seconds"
OLDEST = "sealstream_retention_oldest_timestamp_seconds"

METRICS = (
    Metric("sealstream_sink_records_total", Kind.COUNTER, "records that are durable in the store", ("sink",)),
    Metric("sealstream_sink_bytes_total", Kind.COUNTER, "bytes of those records", ("sink",)),
    Metric("sealstream_sink_batch_records", Kind.HISTOGRAM, "records of a batch", ("sink",), _RECORDS),
    Metric("sealstream_sink_batch_bytes", Kind.HISTOGRAM, "bytes of a batch", ("sink",), _BYTES),
    Metric("sealstream_sink_write_seconds", Kind.HISTOGRAM, "from handing a batch over until it is durable", ("sink",)),
    Metric(
        "sealstream_sink_settle_seconds",
        Kind.HISTOGRAM,
        "from Kafka until it is durable, of the oldest record of each batch",
        ("sink",),
        _AGES,
    ),
    Metric("sealstream_sink_rejects_total", Kind.COUNTER, "records that the store can never take", ("sink", "reason")),
    Metric("sealstream_sink_lag_records", Kind.GAUGE, "records of partitions in hand that are not committed", _PLACE),
    Metric("sealstream_sink_oldest_seconds", Kind.GAUGE, "for which the oldest of them has waited", _PLACE),
    Metric("sealstream_sink_held_bytes", Kind.GAUGE, "bytes of records in memory", ("sink",)),
    Metric("sealstream_sink_partitions_held", Kind.GAUGE, "partitions in hand", ("sink",)),
    Metric("sealstream_sink_rebalances_total", Kind.COUNTER, "times that partitions were given anew", ("sink",)),
    Metric("sealstream_sink_waiting", Kind.GAUGE, "1 while the store is away", ("sink",)),
    Metric("sealstream_sink_retries_total", Kind.COUNTER, "attempts that a store away has failed", ("sink",)),
    Metric("sealstream_sink_away_seconds_total", Kind.COUNTER, "for which the store was away", ("sink",)),
    Metric(ERASED, Kind.COUNTER, "epochs, rows and documents that were too old and were erased", ("store", "kind")),
    Metric(ERASED_BYTES, Kind.COUNTER, "bytes of archive files that were too old and were removed", ("store",)),
    Metric(
        LAST_RUN,
        Kind.GAUGE,
        "when a run last succeeded, or since when one is awaited; while retention is set",
        ("outcome",),
    ),
    Metric(OLDEST, Kind.GAUGE, "of when the oldest is that a store has of a kind", ("store", "kind")),
)


class PrometheusMeter(Meter):
    """Shows what the loop counts."""

    def __init__(self, sink: str, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._sink, self._metrics, self._clock = sink, metrics, clock
        self._away_since = 0.0
        self._lags = Rows[tuple[str, int]](metrics.gauge("sealstream_sink_lag_records"), self._labels)
        self._ages = Rows[tuple[str, int]](metrics.gauge("sealstream_sink_oldest_seconds"), self._labels)

    def stored(self, records: int, size: int, seconds: float, oldest_ms: int = 0) -> None:
        """A batch is durable."""
        super().stored(records, size, seconds)
        self._count("records", records)
        self._count("bytes", size)
        settled_s = max(0, wall_clock_ms() - oldest_ms) / 1000
        for name, value in (
            ("batch_records", records),
            ("batch_bytes", size),
            ("write_seconds", seconds),
            ("settle_seconds", settled_s),
        ):
            self._metrics.histogram(f"sealstream_sink_{name}").labels(self._sink).observe(value)

    def rejected(self, reasons: list[str]) -> None:
        """The store refused these for good."""
        super().rejected(reasons)
        for reason in reasons:
            self._metrics.counter("sealstream_sink_rejects_total").labels(self._sink, reason).inc()

    def lag(self, topic: str, partition: int, records: int) -> None:
        """How many records of the partition are not committed."""
        super().lag(topic, partition, records)
        self._lags.set((topic, partition), records)

    def show(self, waits: Mapping[tuple[str, int], Waits], held_bytes: int) -> None:
        """What waits in every partition that is ours."""
        super().show(waits, held_bytes)
        self._lags.show({place: one.records for place, one in waits.items()})
        self._ages.show({place: one.oldest_s for place, one in waits.items()})
        self._metrics.gauge("sealstream_sink_partitions_held").labels(self._sink).set(len(waits))
        self._metrics.gauge("sealstream_sink_held_bytes").labels(self._sink).set(held_bytes)
        self._count_away()

    def assigned(self) -> None:
        """Partitions were given anew."""
        super().assigned()
        self._count("rebalances", 1)

    def waiting(self, waits: bool) -> None:  # noqa: FBT001  # a state, not an option
        """Whether the store is being waited for."""
        if waits and not self.waits:
            self._away_since = self._clock()
        self._count_away()
        super().waiting(waits)
        self._count("retries", waits)
        self._metrics.gauge("sealstream_sink_waiting").labels(self._sink).set(waits)

    def _count_away(self) -> None:
        """Time in which the store is away counts as it passes, not when it is over."""
        if self.waits:
            now = self._clock()
            self._count("away_seconds", now - self._away_since)
            self._away_since = now

    def _count(self, name: str, count: float) -> None:
        self._metrics.counter(f"sealstream_sink_{name}_total").labels(self._sink).inc(count)

    def _labels(self, place: tuple[str, int]) -> tuple[str, ...]:
        return self._sink, place[0], str(place[1])
