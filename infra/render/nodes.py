"""The ports between nodes, and where they stand in the settings.

Never the ports that agents and browsers use: those serve everybody who proves who they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.cluster import (
    own_broker,
    own_controller,
    own_database,
    own_elasticsearch,
    own_redis,
    own_transport,
)

if TYPE_CHECKING:
    from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """A host, such as an address to listen on, and a port."""

    host: str
    port: int


def node_ports(settings: Settings) -> Mapping[str, int]:
    """Every port that serves approved nodes alone, by what listens there."""
    between = {}
    if settings.kafka.controllers:
        between["kafka controllers"] = own_controller(settings).port
    if settings.elasticsearch.seeds:
        between["elasticsearch nodes"] = own_transport(settings).port
    return {
        "mirror": settings.gateway.mirror_port,
        "miner": settings.miner.port,
        "redis": redis_place(settings).port,
        "elasticsearch": elasticsearch_place(settings).port,
        "postgresql": postgresql_place(settings).port,
        "kafka": own_broker(settings).port,
        **between,
    }


def elasticsearch_place(settings: Settings) -> Place:
    """Where Elasticsearch is spoken to."""
    own = own_elasticsearch(settings)
    return Place(own.host, own.port)


def postgresql_place(settings: Settings) -> Place:
    """Where PostgreSQL listens."""
    own = own_database(settings)
    return Place(own.host, own.port)


def redis_place(settings: Settings) -> Place:
    """Where Redis listens."""
    own = own_redis(settings)
    return Place(own.host, own.port)
