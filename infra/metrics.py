"""Metrics of a process: a typed table of names with their help, over one prometheus registry.

Never makes a metric that its table does not list, so that the docs can list them all.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Generic, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from schemas.errors import LocalError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


Key = TypeVar("Key", bound=Hashable)


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


COMMON: tuple[Metric, ...] = (
    Metric("sealstream_build", Kind.GAUGE, "1, by the version that runs", ("version",)),
    Metric("sealstream_disk_free_bytes", Kind.GAUGE, "bytes free on the disk of a place of ours", ("place",)),
    Metric("sealstream_disk_size_bytes", Kind.GAUGE, "bytes that this disk has in all", ("place",)),
)
"""What every process shows, whatever its own table has."""


class Metrics:
    """The metrics of one process, made from its table and `COMMON` at once."""

    def __init__(self, table: Iterable[Metric]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._made = {metric.name: _make(metric, self._registry) for metric in (*COMMON, *table)}
        self.gauge("sealstream_build").labels(_own_version()).set(1)

    def watch_disk(self, place: str, folder: Path) -> None:
        """Show the disk of that folder, as it is whenever somebody asks; not a number while it cannot be looked at."""
        self.gauge("sealstream_disk_free_bytes").labels(place).set_function(lambda: _disk(folder, "free"))
        self.gauge("sealstream_disk_size_bytes").labels(place).set_function(lambda: _disk(folder, "total"))

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


class Rows(Generic[Key]):
    """A gauge with a row for each key of a mapping, and none for keys that went: what moved to another process.

    A row that stayed behind would be counted twice, here and where the partition is read now.
    """

    def __init__(self, gauge: Gauge, labels: Callable[[Key], tuple[str, ...]]) -> None:
        self._gauge = gauge
        self._labels = labels
        self._shown: dict[Key, None] = {}

    def show(self, values: Mapping[Key, float]) -> None:
        """Show these values and no others."""
        for key in [key for key in self._shown if key not in values]:
            del self._shown[key]
            self._gauge.remove(*self._labels(key))
        for key, value in values.items():
            self.set(key, value)

    def set(self, key: Key, value: float) -> None:
        """Show this value, and leave the others."""
        self._shown[key] = None
        self._gauge.labels(*self._labels(key)).set(value)


def _own_version() -> str:
    try:
        return version("sealstream")
    except PackageNotFoundError:  # read from a folder that nothing was installed from
        return ""


def _disk(folder: Path, what: str) -> float:
    try:
        return float(getattr(shutil.disk_usage(folder), what))
    except OSError:
        return math.nan


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case Kind.GAUGE:
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
