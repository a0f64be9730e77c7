"""What one of a kind can carry: how much of it is used, at how many agents it breaks, and what to do before.

Never hides one behind a mean: each is worked out for the busiest second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from infra.capacity import figures
from infra.capacity.figures import Case
from infra.capacity.load import BOUNDS, Load
from infra.capacity.rates import GIB, MB
from infra.capacity.roles import (
    DEFAULT_PARTITIONS,
    Site,
    gateway_cpu,
    miner_workers,
    postgresql_bytes,
    postgresql_rows_s,
    topic_copies,
)

BROKER_PARTITIONS = 4000
"""Copies of partitions that a broker is usually given at most."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: the share of it that is used (over 1: broken), and what raises it."""

    name: str
    used: Callable[[Site], float]
    remedy: str


LIMITS: tuple[Limit, ...] = (
    Limit(
        "partitions of a new topic, as they are by default",
        lambda site: miner_workers(site) / DEFAULT_PARTITIONS,
        "set kafka.partitions before the topics are made",
    ),
    Limit(
        "size of the database on one primary",
        lambda site: postgresql_bytes(site) / GIB / site.at(figures.POSTGRESQL_DISK),
        "keep fewer days, or split `envelope` and `archive_run` by month",
    ),
    Limit(
        "rows a second on one primary",
        lambda site: postgresql_rows_s(site) / site.at(figures.POSTGRESQL_ROWS),
        "longer segments (fewer envelopes), then a database for each site",
    ),
    Limit(
        "documents that the one worker of alerts reads",
        lambda site: site.rates.documents_s / site.at(figures.ALERT_RATE),
        "a group of its own for each part of the rules",
    ),
    Limit(
        "one gateway process with all agents (CPU)",
        lambda site: gateway_cpu(site) / site.at(figures.BUSY),
        "more processes; the plan has them",
    ),
    Limit(
        "one disk sink with everything",
        lambda site: site.rates.bytes_s / MB / site.at(figures.ARCHIVE_RATE),
        "more processes, each with its partitions; the plan has them",
    ),
    Limit(
        "partitions on as many brokers as there are copies",
        lambda site: topic_copies(site) / BROKER_PARTITIONS / site.load.replication,
        "more brokers, or two installations",
    ),
)


def breaks_at(limit: Limit, load: Load, case: Case) -> int | None:
    """The least number of agents, all else as in `load`, for which the limit is broken; None beyond all bounds."""
    low, high = 1, int(BOUNDS["agents"][1])
    if limit.used(Site.of(replace(load, agents=high), case)) <= 1:
        return None
    while low < high:
        middle = (low + high) // 2
        if limit.used(Site.of(replace(load, agents=middle), case)) > 1:
            high = middle
        else:
            low = middle + 1
    return low
