"""Metrics of a process: a typed table of names with their help, over one prometheus registry.

Never makes a metric that its table does not list, so that the docs can list them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from schemas.errors import LocalError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Kind(StrEnum):
    """What a metric does with the values that it is given."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of a process's table. Counters end in `_total`, durations in `_seconds`, sizes in `_bytes`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _SECONDS


class Metrics:
    """The metrics of one process, made from its table at once."""

    def __init__(self, table: Iterable[Metric]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._made = {metric.name: _make(metric, self._registry) for metric in table}

    def counter(self, name: str) -> Counter:
        """The counter of that name."""
        return cast("Counter", self._find(name, Counter))

    def gauge(self, name: str) -> Gauge:
        """The gauge of that name."""
        return cast("Gauge", self._find(name, Gauge))

    def histogram(self, name: str) -> Histogram:
        """The histogram of that name."""
        return cast("Histogram", self._find(name, Histogram))

    def expose(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)

    def _find(self, name: str, kind: type) -> object:
        found = self._made.get(name)
        if not isinstance(found, kind):
            raise LocalError(f"no {kind.__name__.lower()} is called {name} in this process's table of metrics")
        return found


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case Kind.GAUGE:
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
