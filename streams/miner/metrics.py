"""The table of the miner process's metrics.

Never labelled by what a caller may choose, nor by who calls.
"""

from __future__ import annotations

from infra.metrics import Kind, Metric

METRICS = (
    Metric("miner_calls_total", Kind.COUNTER, "calls that ended, by gRPC's code", ("method", "code")),
    Metric("miner_calls_refused_total", Kind.COUNTER, "calls of those who may not call", ("reason",)),
    Metric("miner_workers", Kind.GAUGE, "workers of this node that live"),
    Metric("miner_partitions", Kind.GAUGE, "partitions that the node's workers hold"),
    Metric("miner_drained", Kind.GAUGE, "1 while all workers of the node are wished drained"),
)
