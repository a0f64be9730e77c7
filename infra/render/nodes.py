"""The ports between nodes, and where they stand in the settings.

Never the ports that agents and browsers use: those serve everybody who proves who they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """A host, such as an address to listen on, and a port."""

    host: str
    port: int


def node_ports(settings: Settings) -> Mapping[str, int]:
    """Every port that serves approved nodes alone, by what listens there."""
    brokers = [urlsplit(f"//{broker.strip()}") for broker in settings.kafka.bootstrap.split(",")]
    return {
        "mirror": settings.gateway.mirror_port,
        "miner": settings.miner.port,
        "redis": redis_place(settings).port,
        "elasticsearch": elasticsearch_place(settings).port,
        "postgresql": postgresql_place(settings).port,
        "kafka": brokers[0].port or 9092,
    }


def elasticsearch_place(settings: Settings) -> Place:
    """Where Elasticsearch is spoken to."""
    parts = urlsplit(settings.elasticsearch.url)
    return Place(parts.hostname or "127.0.0.1", parts.port or 9200)


def postgresql_place(settings: Settings) -> Place:
    """Where PostgreSQL listens."""
    parts = urlsplit(settings.postgresql.dsn)
    return Place(parts.hostname or "127.0.0.1", parts.port or 5432)


def redis_place(settings: Settings) -> Place:
    """Where Redis listens."""
    parts = urlsplit(settings.redis.url)
    return Place(parts.hostname or "127.0.0.1", parts.port or 6379)
