"""What the settings say of the stores where several machines keep them: addresses, this node's own, copies.

Never asks a store anything, and never puts a password into what may be shown.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.hosts import authority
from infra.settings import Settings, read_secret
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.settings import RedisSettings

_KAFKA_PORT, _ELASTICSEARCH_PORT, _POSTGRESQL_PORT, _REDIS_PORT = 9092, 9200, 5432, 6379
_SENTINEL_PORT = 26379
_TRANSPORT_PORT = 9300
_SAFE_COPIES, _SAFE_INSYNC = 3, 2


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)

    @classmethod
    def parse(cls, text: str, default_port: int) -> Address:
        """`host`, `host:port` or `[address]:port`; raises `ConfigError`."""
        try:
            parts = urlsplit(f"//{text.strip()}")
            if parts.hostname:
                return cls(parts.hostname, parts.port or default_port)
        except ValueError:
            pass
        raise ConfigError(f"{text.strip()!r} is no address: `host:port` is wanted")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def brokers(settings: Settings) -> list[Address]:
    """The brokers of `kafka.bootstrap`, each once."""
    return list(dict.fromkeys(Address.parse(it, _KAFKA_PORT) for it in settings.kafka.bootstrap.split(",")))


def controllers(settings: Settings) -> dict[int, Address]:
    """Every broker's controller by its number; empty where this node's broker is alone."""
    numbered = [it.partition("@") for it in settings.kafka.controllers]
    return {int(number): Address.parse(place, _KAFKA_PORT) for number, _, place in numbered}


def own_controller(settings: Settings) -> Address:
    """Where the other controllers reach this node's; raises `ConfigError`."""
    named, own = controllers(settings), settings.kafka.node_id
    if own not in named:
        raise ConfigError(f"kafka.controllers names {', '.join(map(str, named))}, and not kafka.node_id = {own}")
    return named[own]


def own_broker(settings: Settings) -> Address:
    """Where this node's broker listens, and all reach it; raises `ConfigError`."""
    if settings.kafka.listen:
        return Address.parse(settings.kafka.listen, _KAFKA_PORT)
    if not settings.kafka.controllers:
        return brokers(settings)[0]
    host = own_controller(settings).host
    return next((it for it in brokers(settings) if it.host == host), Address(host, _KAFKA_PORT))


def broker_count(settings: Settings) -> int:
    """How many brokers the settings know of."""
    return max(len(settings.kafka.controllers), len(brokers(settings)))


def wanted_copies(settings: Settings, count: int = 0) -> tuple[int, int]:
    """Replicas of a topic and how many must have a record, in a cluster that shows `count` brokers."""
    size = max(count, broker_count(settings))
    copies = settings.kafka.replication or (_SAFE_COPIES if size >= _SAFE_COPIES else 1)
    return copies, settings.kafka.min_insync or wanted_insync(copies)


def wanted_insync(copies: int) -> int:
    """How many of so many replicas must have a record, where no setting says so."""
    return _SAFE_INSYNC if copies >= _SAFE_COPIES else 1


def elasticsearch_urls(settings: Settings) -> list[str]:
    """Each address of the cluster, with its port."""
    return urls_of(settings.elasticsearch.url)


def urls_of(text: str) -> list[str]:
    """Addresses separated by commas, each with its port; raises `ConfigError`."""
    urls = []
    for url in (it.strip().rstrip("/") for it in text.split(",")):
        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigError(f"elasticsearch.url: {url!r} is no address such as https://10.0.0.8:9200")
        place = Address.parse(parts.netloc.rpartition("@")[2], _ELASTICSEARCH_PORT)
        urls.append(f"{parts.scheme}://{place}{parts.path}")
    return urls


def own_elasticsearch(settings: Settings) -> Address:
    """Where this node's Elasticsearch listens."""
    named = settings.elasticsearch.listen or urlsplit(elasticsearch_urls(settings)[0]).netloc
    return Address.parse(named, _ELASTICSEARCH_PORT)


def own_elasticsearch_url(settings: Settings) -> str:
    """Its address by which it is asked here."""
    return f"{urlsplit(elasticsearch_urls(settings)[0]).scheme}://{own_elasticsearch(settings)}"


def own_transport(settings: Settings) -> Address:
    """Where the other nodes of the Elasticsearch cluster reach this one: the port of the seed on its host."""
    host = own_elasticsearch(settings).host
    seeds = [Address.parse(it, _TRANSPORT_PORT) for it in settings.elasticsearch.seeds]
    return next((it for it in seeds if it.host == host), Address(host, _TRANSPORT_PORT))


def databases(settings: Settings) -> list[Address]:
    """The servers of `postgresql.dsn`: one that may write among them."""
    return hosts_of(settings.postgresql.dsn)


def hosts_of(dsn: str) -> list[Address]:
    """The servers that a PostgreSQL address names."""
    hosts = urlsplit(dsn).netloc.rpartition("@")[2]
    return [Address.parse(it or "127.0.0.1", _POSTGRESQL_PORT) for it in hosts.split(",")]


def own_database(settings: Settings) -> Address:
    """Where this node's PostgreSQL listens."""
    named = settings.postgresql.listen
    return Address.parse(named, _POSTGRESQL_PORT) if named else databases(settings)[0]


def dsn_at(dsn: str, place: Address, database: str = "") -> str:
    """The same login at one server alone, in another `database` where one is named."""
    parts = urlsplit(dsn)
    login, at, _ = parts.netloc.rpartition("@")
    path = f"/{database}" if database else parts.path
    query = "&".join(it for it in parts.query.split("&") if not it.startswith("target_session_attrs="))
    return parts._replace(netloc=f"{login}{at}{place}", path=path, query=query).geturl()


def own_redis(settings: Settings) -> Address:
    """Where this node's Redis listens; without one of its own, where all reach it."""
    named = settings.redis.listen
    return Address.parse(named, _REDIS_PORT) if named else redis_at(settings.redis)


def redis_at(redis: RedisSettings) -> Address:
    """The server of `redis.url`."""
    parts = urlsplit(redis.url)
    return Address(parts.hostname or "127.0.0.1", parts.port or _REDIS_PORT)


def sentinels(redis: RedisSettings) -> list[Address]:
    """The Sentinels, each once; empty where there is one Redis alone."""
    return list(dict.fromkeys(Address.parse(it, _SENTINEL_PORT) for it in redis.sentinels))


def own_sentinel(settings: Settings) -> Address:
    """Where this node's Sentinel listens, beside its Redis; raises `ConfigError`."""
    if settings.redis.sentinel_listen:
        return Address.parse(settings.redis.sentinel_listen, _SENTINEL_PORT)
    host, named = own_redis(settings).host, sentinels(settings.redis)
    if (own := next((it for it in named if it.host == host), None)) is None:
        raise ConfigError(f"redis.sentinels names {shown(named)}, and none on {host}, where this node's Redis is")
    return own


def redis_password(redis: RedisSettings) -> str:
    """What to tell Redis: nothing on the loopback, where no other machine comes, nor where there is no such file.

    Raises `ConfigError` for a file that cannot be read.
    """
    there = redis.password_file is not None and redis.password_file.exists()
    return "" if redis_at(redis).is_loopback or not there else read_secret(redis.password_file).strip()


def store_places(settings: Settings, store: str) -> list[Address]:
    """Where all reach a store: `kafka`, `elasticsearch`, `postgresql` or `redis`."""
    match store:
        case "kafka":
            return brokers(settings)
        case "elasticsearch":
            return [Address.parse(urlsplit(url).netloc, _ELASTICSEARCH_PORT) for url in elasticsearch_urls(settings)]
        case "postgresql":
            return databases(settings)
        case _:
            return [own_redis(settings)]


def shown(places: Sequence[Address]) -> str:
    """Addresses in a message."""
    return ", ".join(map(str, places))
