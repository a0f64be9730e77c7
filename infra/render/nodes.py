"""The ports between nodes, and where they stand in the settings.

Never the ports that agents and browsers use: those serve everybody who proves who they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from infra.cluster import (
    own_broker,
    own_controller,
    own_database,
    own_elasticsearch,
    own_redis,
    own_sentinel,
    own_transport,
)
from infra.failover import is_automatic, own_etcd, peer_of

if TYPE_CHECKING:
    from infra.settings import Settings


def node_ports(settings: Settings) -> Mapping[str, int]:
    """Every port that serves approved nodes alone, by what listens there."""
    between = {}
    if settings.kafka.controllers:
        between["kafka controllers"] = own_controller(settings).port
    if settings.elasticsearch.seeds:
        between["elasticsearch nodes"] = own_transport(settings).port
    if is_automatic(settings):
        between["patroni"] = settings.postgresql.patroni_port
    if (place := own_etcd(settings)) is not None:
        between |= {"etcd": place.port, "etcd members": peer_of(place).port}
    if settings.redis.sentinels:
        between["redis sentinels"] = own_sentinel(settings).port
    return {
        "mirror": settings.gateway.mirror_port,
        "miner": settings.miner.port,
        "redis": own_redis(settings).port,
        "elasticsearch": own_elasticsearch(settings).port,
        "postgresql": own_database(settings).port,
        "kafka": own_broker(settings).port,
        **between,
    }
