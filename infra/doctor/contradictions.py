"""Settings that each may be had, but not together, or not where something is recorded in earnest.

Never looks at anything but the settings: pure, so that each rule is tested by itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.cluster import (
    brokers,
    controllers,
    elasticsearch_urls,
    own_redis,
    own_sentinel,
    redis_at,
    sentinels,
    wanted_copies,
)
from infra.doctor.failover import find_failover_faults
from infra.settings.keeping import CONTENT
from schemas.errors import ConfigError
from schemas.kinds import StreamKind
from schemas.topics import DAY_MS, TOPICS, envelope_topic

if TYPE_CHECKING:
    from infra.settings import Settings

Rule = Callable[["Settings"], Iterator[str]]

_AGENT_PORTS = range(10_000, 11_001)
_FEWEST_SENTINELS = 3


def find_contradictions(settings: Settings) -> list[str]:
    """Each with what to do, in the order of the settings; empty where they fit together."""
    return [told for rule in RULES for told in rule(settings)]


def _node(settings: Settings) -> Iterator[str]:
    listens, told = settings.gateway.host, settings.node.advertise
    if told in ("0.0.0.0", "::"):  # noqa: S104  # compared, not listened on
        yield f"node.advertise is {told}, which is no address to connect to: give this node's name"
    elif is_loopback(told) and not is_loopback(listens):
        yield (
            f"the gateway listens on {listens}, but agents are sent to node.advertise = {told}, "
            "which is their own machine: give this node's name"
        )
    elif is_loopback(listens) and not is_loopback(told):
        yield f"agents are sent to {told}, but gateway.host = {listens} serves this machine alone: give its address"
    for network in settings.node.approved:
        if network.endswith("/0"):
            yield f"node.approved has {network}, which approves everybody: name the nodes, or their private network"


def _kafka(settings: Settings) -> Iterator[str]:
    kafka, (copies, min_insync) = settings.kafka, wanted_copies(settings)
    if min_insync > copies:
        yield (
            f"kafka.min_insync = {min_insync} of kafka.replication = {copies} replicas can never be: "
            "nothing would be acknowledged; 2 of 3 is usual"
        )
    elif copies > 1 and min_insync == copies:
        yield (
            f"kafka.min_insync = kafka.replication = {copies}: the loss of any one broker stops everything; "
            f"set kafka.min_insync = {copies - 1}" + (" and kafka.replication = 3" if copies == 2 else "")
        )
    elif copies > 2 and min_insync == 1:
        yield (
            f"kafka.min_insync = 1 of {copies}: what one broker alone has is acknowledged and lost with it; "
            "set kafka.min_insync = 2"
        )
    named = brokers(settings)
    if copies > 1 and len(named) == 1:
        yield (
            f"kafka.bootstrap names {named[0]} alone: a process that starts while it is away finds no other broker; "
            "name all of them"
        )
    if kafka.controllers and kafka.node_id not in controllers(settings):
        yield f"kafka.controllers has no kafka.node_id = {kafka.node_id}: give this node's broker one of its numbers"
    if len(kafka.controllers) == 2:
        yield "kafka.controllers names two: the loss of either stops both; name three, or none for one broker alone"


def _gateway(settings: Settings) -> Iterator[str]:
    gateway, live = settings.gateway, settings.live_port
    if gateway.agent_port % 2 or gateway.agent_port not in _AGENT_PORTS:
        yield f"gateway.agent_port = {gateway.agent_port}: an even port of 10000 to 11000 is wanted"
    if not live % 2 or live not in range(10_001, 11_002):
        yield f"live.port = {live}: an odd port of 10001 to 11001 is wanted, or 0 for the one after the agents'"
    named = {
        "gateway.https_port": gateway.https_port,
        "gateway.agent_port": gateway.agent_port,
        "live.port": live,
        "gateway.mirror_port": gateway.mirror_port,
    }
    for (one, port), (other, same) in combinations(named.items(), 2):
        if port == same:
            yield f"{one} and {other} are both {port}: give each its own"


def _stores(settings: Settings) -> Iterator[str]:
    if any(urlsplit(url).scheme != "https" for url in elasticsearch_urls(settings)):
        yield f"elasticsearch.url = {settings.elasticsearch.url}: text and password would be in the clear; use https"
    for name, address in (("postgresql.dsn", settings.postgresql.dsn), ("redis.url", settings.redis.url)):
        if urlsplit(address).password:
            yield f"{name} holds a password, which every process list and dump would show: put it into a file"
    if settings.archive.fsync == "never":
        yield 'archive.fsync = "never": a power cut loses what was committed; set "commit"'


def _redis(settings: Settings) -> Iterator[str]:
    redis, named = settings.redis, sentinels(settings.redis)
    if not named:
        if redis.listen and own_redis(settings) != redis_at(redis):
            yield f"redis.listen = {redis.listen}, but all look for Redis at redis.url: set redis.sentinels for several"
        return
    if len(named) < _FEWEST_SENTINELS:
        yield (
            f"redis.sentinels names {len(named)}: more than half must be left to promote a server, so that the loss of "
            "one stops it; name three, or none for one Redis alone"
        )
    elif len(named) % 2 == 0:
        yield f"redis.sentinels names {len(named)}: of {len(named) - 1} as many may be lost; name an odd number"
    if redis_at(redis).is_loopback != all(it.is_loopback for it in named):
        yield "redis.url and redis.sentinels are not all of this machine, or all of the network: no one password fits"
    if "master" in settings.node.roles and "redis" not in settings.node.external:
        try:
            own = own_sentinel(settings)
        except ConfigError as error:
            yield f"{error}: name it there, or set redis.listen"
        else:
            if own not in named:
                yield f"redis.sentinels does not name {own}, where this node's Sentinel listens: name it there"


def _sign_in(settings: Settings) -> Iterator[str]:
    accounts, oidc = settings.accounts, settings.oidc
    if accounts.idle_s > accounts.session_s:
        yield f"accounts.idle_s = {accounts.idle_s:g} is longer than a session, accounts.session_s: it never counts"
    if oidc.issuer and not oidc.client_id:
        yield "oidc.issuer is given without oidc.client_id: give the name under which the provider knows this console"
    if oidc.issuer and not oidc.issuer.startswith("https://"):
        yield f"oidc.issuer = {oidc.issuer}: who signs in could be anybody; use https"
    if bool(oidc.roles) != bool(oidc.role_claim):
        yield "oidc.role_claim and oidc.roles work together alone: give both, or neither"
    if oidc.auto_create and not oidc.role_claim:
        yield "oidc.auto_create makes accounts for who has a role by oidc.role_claim: without it, nobody has one"


def _retention(settings: Settings) -> Iterator[str]:
    retention = settings.retention
    short = [kind.label for kind in StreamKind if 0 < retention.days_of(kind) < _kafka_days(kind)]
    if short:
        yield (
            f"retention keeps {', '.join(short)} for fewer days than Kafka does ({_kafka_days(StreamKind.SCREEN)}): "
            "sealed, it is there as long all the same"
        )
    index = retention.days_of(StreamKind.INDEX)
    if any(days and not 0 < index <= days for days in map(retention.days_of, CONTENT)):
        yield (
            f"retention.streams.index = {index} keeps the text of streams for longer than the streams: "
            "leave it out, and it goes with the first of them"
        )


def _kafka_days(kind: StreamKind) -> int:
    return TOPICS[envelope_topic(kind)].retention_ms // DAY_MS


RULES: tuple[Rule, ...] = (_node, _kafka, find_failover_faults, _gateway, _stores, _redis, _sign_in, _retention)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
