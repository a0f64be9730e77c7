"""How well Kafka's partitions are replicated, by what the brokers say of them.

Never judges by configuration: replicas that ought to be there and are not in sync count as missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from infra.cluster import wanted_insync

CONDITIONS = ("leaderless", "below_min", "short")
"""Nobody can read or write them; nobody can write them; a replica lags or is away."""


def count_conditions(topics: Iterable[Mapping[str, Any]], min_insync: int) -> dict[str, int]:
    """Of described topics: how many partitions are in each of `CONDITIONS`; one partition may be in several.

    `min_insync` 0 is what goes with so many replicas as a partition has.
    """
    found: Counter[str] = Counter()
    for topic in topics:
        for partition in topic["partitions"]:
            in_sync = len(partition["isr"])
            found["leaderless"] += partition["leader"] < 0
            found["below_min"] += in_sync < (min_insync or wanted_insync(len(partition["replicas"])))
            found["short"] += in_sync < len(partition["replicas"])
    return {condition: found[condition] for condition in CONDITIONS}
