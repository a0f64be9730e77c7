"""PostgreSQL, Kafka, Elasticsearch and Redis, as the settings reach them: release, state, and clock.

Never changes what is in them; to see that Kafka takes records, one is written into a topic that holds nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from infra.cluster import brokers, databases, elasticsearch_urls, own_redis, redis_password, shown, wanted_copies
from infra.doctor.failover import check_failover
from infra.doctor.finding import Finding, check_later
from infra.doctor.releases import ask_release
from infra.failover import may_ask
from infra.settings import postgresql_dsn, read_secret
from infra.stack.probe import http_get, tcp_ask
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.settings import Settings

OLDEST = {"postgresql": (15,), "kafka": (3, 7), "elasticsearch": (9,), "redis": (6, 2)}

CLOCK_S = 2.0
"""Clocks that differ by more confuse orders of events, lost nodes, and what ended when."""

TOPIC = "doctor"
"""Where a record is written; brokers stamp what comes into it with their own clock."""

_TIMEOUT_S = 10.0
_RETENTION_MS = 3_600_000


async def check_stores(settings: Settings) -> list[Finding]:
    """All of them at once: one that does not answer holds up no other."""
    looks = {
        "at postgresql": check_postgresql,
        "at kafka": check_kafka,
        "kafka copies": check_kafka_copies,
        "kafka write": check_kafka_write,
        "at elasticsearch": check_elasticsearch,
        "at redis": check_redis,
        **({"failover": check_failover} if may_ask(settings) else {}),
        **({"redis sentinels": _check_sentinels} if settings.redis.sentinels else {}),
    }
    return await asyncio.gather(*(check_later(name, partial(look, settings)) for name, look in looks.items()))


async def check_postgresql(settings: Settings) -> str:
    """Its release, its clock, that it is the primary, and whose migrations it has."""
    import asyncpg

    from infra.migrate import load_migrations
    from infra.postgresql import connect

    place = shown(databases(settings))
    try:
        connection = await connect(postgresql_dsn(settings), timeout=_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise UnavailableError(
            f"{place} lets us not in ({error or type(error).__name__}): is it there, does its pg_hba.conf name "
            "this node (`sealstream infra render pg_hba`), is the password in postgresql.password_file?"
        ) from None
    try:
        release = str(await connection.fetchval("show server_version")).split()[0]
        require_release("postgresql", release)
        began = time.time()
        theirs = float(await connection.fetchval("select extract(epoch from clock_timestamp())"))
        clock = compare_clock("PostgreSQL", began, time.time(), theirs)
        if await connection.fetchval("select pg_is_in_recovery()"):
            raise ConfigError(f"{place} is a standby, which takes nothing: name the primary in postgresql.dsn")
        migrated = 0
        with contextlib.suppress(asyncpg.UndefinedTableError):
            migrated = await connection.fetchval("select coalesce(max(number), 0) from schema_migration")
    finally:
        await connection.close()
    ours = load_migrations()[-1].number
    if migrated > ours:
        raise ConfigError(
            f"the database is of a later release (migration {migrated}, ours end at {ours}): update this node"
        )
    return f"{release} at {place}, migration {migrated} of {ours}, {clock}"


async def check_kafka(settings: Settings) -> str:
    """The release of every broker in the settings, and whether there are as many as replicas are wanted."""
    releases = []
    for broker in brokers(settings):
        try:
            releases.append(await ask_release(broker.host, broker.port))
        except (OSError, TimeoutError) as error:
            raise UnavailableError(
                f"the broker {broker} does not answer ({error or type(error).__name__}): "
                "start it, or mend kafka.bootstrap"
            ) from None
    for release in releases:
        require_release("kafka", release)
    count = await _count_brokers(settings)
    copies, _ = wanted_copies(settings, count)
    if count < copies:
        raise ConfigError(f"{count} brokers cannot keep kafka.replication = {copies} replicas: start more, or set less")
    return f"{', '.join(sorted(set(releases)))} at {settings.kafka.bootstrap}, {count} brokers in all"


async def _count_brokers(settings: Settings) -> int:
    from aiokafka.errors import KafkaError

    from infra.kafka import admin

    client = admin(settings)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await client.start()
            return len((await client.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnavailableError(f"the cluster cannot be asked ({error or type(error).__name__}): see its log") from None
    finally:
        await client.close()


async def check_kafka_copies(settings: Settings) -> str:
    """Every topic has as many replicas as are wanted, and they are in sync."""
    from infra.copies import read_copies

    copies = await read_copies(settings)
    if short := [it for it in copies if it.replicas < it.wanted]:
        raise ConfigError(
            f"{', '.join(it.topic for it in short)}: {min(it.replicas for it in short)} replicas instead of "
            f"{short[0].wanted}: `sealstream topic grow` gives them more"
        )
    if late := [it.topic for it in copies if it.in_sync < it.replicas]:
        raise UnavailableError(f"{', '.join(late)}: replicas are not in sync: a broker is away, or has just come back")
    return f"{len(copies)} topics, each in {min((it.replicas for it in copies), default=0)}, all in sync"


async def check_kafka_write(settings: Settings) -> str:
    """A record is taken by as many replicas as the settings want, and how its leader's clock differs from ours."""
    from aiokafka.errors import KafkaError

    from infra.kafka import producer, topic_name

    sending = producer(settings, request_timeout_ms=int(_TIMEOUT_S * 1000))
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await _make_topic(settings)
            await sending.start()
            topic = topic_name(settings, TOPIC)
            await sending.partitions_for(topic)
            began = time.time()
            sent = await sending.send_and_wait(topic, settings.node.id.encode())
            ended = time.time()
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"a record is not taken ({error or type(error).__name__}): are kafka.min_insync = "
            f"{wanted_copies(settings)[1]} replicas in sync, and do brokers advertise addresses that this node reaches?"
        ) from None
    finally:
        with contextlib.suppress(KafkaError):
            await sending.stop()
    return f"taken in {(ended - began) * 1000:.0f} ms, {compare_clock('Kafka', began, ended, sent.timestamp / 1000)}"


async def _make_topic(settings: Settings) -> None:
    from aiokafka.admin import NewTopic

    from infra.kafka import admin, topic_name

    client = admin(settings)
    try:
        await client.start()
        copies, min_insync = wanted_copies(settings, len((await client.describe_cluster())["brokers"]))
        configs = {
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(_RETENTION_MS),
            "min.insync.replicas": str(min_insync),
        }
        topic = NewTopic(topic_name(settings, TOPIC), 1, copies, topic_configs=configs)
        await client.create_topics([topic], timeout_ms=int(_TIMEOUT_S * 1000))  # one that is there stays
    finally:
        await client.close()


async def check_elasticsearch(settings: Settings) -> str:
    """Its certificate as we check it, our user, its release, and its health."""
    url = await _serving_url(settings)
    nodes = (await _ask_elasticsearch(settings, f"{url}/_nodes/_all/none")).get("nodes", {}).values()
    health = await _ask_elasticsearch(settings, f"{url}/_cluster/health")
    releases, state = sorted({str(node["version"]) for node in nodes}), str(health.get("status", "unknown"))
    for release in releases:
        require_release("elasticsearch", release)
    if state == "red":
        raise UnavailableError(
            f"{url} is red: a primary shard is away: bring its nodes back, see /_cluster/allocation/explain"
        )
    return f"{', '.join(releases)} at {url}, {state}, {health.get('number_of_nodes', 0)} nodes"


async def _serving_url(settings: Settings) -> str:
    """The first address of the cluster that answers; raises what the last one did."""
    *others, last = elasticsearch_urls(settings)
    for url in others:
        with contextlib.suppress(UnavailableError):
            await _ask_elasticsearch(settings, f"{url}/_cluster/health")
            return url
    return last


async def _ask_elasticsearch(settings: Settings, url: str) -> dict[str, Any]:
    login = (settings.elasticsearch.username, read_secret(settings.elasticsearch.password_file))
    authority = settings.elasticsearch.ca_file
    try:
        tls = ssl.create_default_context(cafile=authority) if url.startswith("https:") else None
        status, body = await http_get(url, tls, login)
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            f"the certificate of {url} is not taken: {error.verify_message}: is elasticsearch.ca_file its CA, "
            "and does it name the host of elasticsearch.url?"
        ) from None
    except (OSError, TimeoutError) as error:
        raise UnavailableError(
            f"{url} does not answer ({error or type(error).__name__}): start it, or mend its url"
        ) from None
    if status in (401, 403):
        raise ConfigError(f"{url} refuses the user {login[0]} ({status}): see elasticsearch.username and password_file")
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status != 200 or not isinstance(answer, dict):
        raise UnavailableError(f"{url} answers {status}: see its log")
    return answer


async def _check_sentinels(settings: Settings) -> str:
    from infra.doctor.sentinels import check_sentinels

    return await check_sentinels(settings)


async def check_redis(settings: Settings) -> str:
    """Its release and its clock."""
    place = own_redis(settings)
    if settings.redis.sentinels:
        from infra.sentinels import find_primary

        place = await find_primary(settings.redis)
    host, port = place.host, place.port
    question = b"INFO server\r\n"
    if password := redis_password(settings.redis):
        question = f"AUTH {password}\r\n".encode() + question
    began = time.time()
    try:
        told = (await tcp_ask(host, port, question, 16_384)).decode("utf-8", "replace")
    except (OSError, TimeoutError) as error:
        raise UnavailableError(
            f"{host}:{port} does not answer ({error or type(error).__name__}): start it, or mend redis.url"
        ) from None
    ended = time.time()
    fields = dict(re.findall(r"(\w+):([^\r\n]*)", told))
    if "redis_version" not in fields:
        raise ConfigError(f"{host}:{port} does not tell about itself: {told.strip()[:100] or 'it says nothing'}")
    require_release("redis", fields["redis_version"])
    theirs = int(fields.get("server_time_usec", began * 1e6)) / 1e6
    return f"{fields['redis_version']} at {host}:{port}, {compare_clock('Redis', began, ended, theirs)}"


def require_release(name: str, release: str) -> None:
    """Raise where it is older than what we work with."""
    oldest = OLDEST[name]
    if tuple(int(number) for number in re.findall(r"\d+", release)[: len(oldest)]) < oldest or "before" in release:
        raise ConfigError(f"{release} is too old: {'.'.join(map(str, oldest))} or later is needed: update it")


def compare_clock(whose: str, began: float, ended: float, theirs: float) -> str:
    """How far a clock is from ours, at least: what the answer's way took is not held against it."""
    off = max(began - theirs, theirs - ended, 0.0)
    if off > CLOCK_S:
        way = "behind" if theirs < began else "ahead of"
        raise UnavailableError(
            f"{whose}'s clock is {off:.1f} s {way} this machine's: have both follow NTP (`timedatectl set-ntp true`)"
        )
    return f"clock within {max(abs(theirs - began), abs(ended - theirs)):.2f} s"
