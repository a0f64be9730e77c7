"""Kafka for our processes: clients with the settings that the design asks for, and our topics.

Never lets a broker make a topic by itself: partitions and retention come from `schemas.topics`.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from infra.cluster import wanted_copies
from infra.settings import Settings
from schemas.errors import ConfigError, UnavailableError
from schemas.topics import MAX_RECORD_BYTES, TOPICS, Topic

METADATA_MAX_AGE_MS = 5_000
"""How long a client believes what it knows of topics. A group that was joined while a broker had only just started,
and did not name a topic yet, reads nothing of that topic until its leader looks again."""

_CREATE_TIMEOUT_MS = 15_000
_MAX_REQUEST_BYTES = 8 * MAX_RECORD_BYTES
_ALREADY_EXISTS = TopicAlreadyExistsError.errno
_TOO_FEW_BROKERS = InvalidReplicationFactorError.errno


def topic_name(settings: Settings, name: str) -> str:
    """The topic of that name in this deployment."""
    return settings.kafka.topic_prefix + name


def strip_prefix(settings: Settings, topic: str) -> str:
    """The name in `schemas.topics` of this deployment's `topic`."""
    return topic.removeprefix(settings.kafka.topic_prefix)


def producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """A producer, not yet started: idempotent, acknowledged by all in-sync replicas."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        client_id=settings.node.id,
        **{"acks": "all", "enable_idempotence": True, "max_request_size": MAX_RECORD_BYTES, **options},
    )


def consumer(settings: Settings, group: str | None, *topics: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer of `topics` (without prefix), not yet started; it commits nothing by itself.

    Without a `group` it keeps no offsets. Reading starts at the oldest record that the group has not committed.
    """
    return AIOKafkaConsumer(
        *(topic_name(settings, topic) for topic in topics),
        bootstrap_servers=settings.kafka.bootstrap,
        client_id=settings.node.id,
        group_id=None if group is None else settings.kafka.topic_prefix + group,
        **{
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "max_partition_fetch_bytes": _MAX_REQUEST_BYTES,
            "metadata_max_age_ms": METADATA_MAX_AGE_MS,
            **options,
        },
    )


def admin(settings: Settings, bootstrap: str = "") -> AIOKafkaAdminClient:
    """An admin client, not yet started; of the brokers of the settings, or of `bootstrap`."""
    return AIOKafkaAdminClient(bootstrap_servers=bootstrap or settings.kafka.bootstrap, client_id=settings.node.id)


async def ensure_topics(settings: Settings) -> list[str]:
    """Make every topic that is missing; return the names of those made. Existing ones stay as they are.

    Raises `UnavailableError` while Kafka is away, or has fewer brokers than a topic wants replicas.
    """
    client = admin(settings)
    try:
        await client.start()
        cluster = await client.describe_cluster()
        count = len(cluster["brokers"])
        if cluster["controller_id"] < 0:
            raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} makes no topics: it has no controller now")
        copies = wanted_copies(settings, count)
        response = await client.create_topics(
            [_new_topic(settings, topic, copies) for topic in TOPICS.values()], timeout_ms=_CREATE_TIMEOUT_MS
        )
    except (KafkaConnectionError, KafkaError) as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} makes no topics: {error}") from error
    finally:
        await client.close()
    made = []
    for name, code, *detail in response.topic_errors:
        if code == 0:
            made.append(name)
        elif code == _TOO_FEW_BROKERS:
            raise UnavailableError(f"Kafka makes no topic {name} with {copies[0]} replicas: it has {count} brokers now")
        elif code != _ALREADY_EXISTS:
            why = next(iter(detail), None) or for_code(code).__name__
            raise ConfigError(f"Kafka refuses to make the topic {name}: {why}")
    return made


async def read_brokers(settings: Settings, bootstrap: str = "") -> tuple[str, set[int]]:
    """The cluster's id and the numbers of its brokers now; raises `KafkaError` or `OSError`."""
    client = admin(settings, bootstrap)
    try:
        await client.start()
        cluster = await client.describe_cluster()
    finally:
        await client.close()
    return str(cluster["cluster_id"] or ""), {broker["node_id"] for broker in cluster["brokers"]}


def _new_topic(settings: Settings, topic: Topic, copies: tuple[int, int]) -> NewTopic:
    replication, min_insync = copies
    return NewTopic(
        name=topic_name(settings, topic.name),
        num_partitions=settings.kafka.partitions if topic.partitions > 1 else 1,
        replication_factor=replication,
        topic_configs={
            "retention.ms": str(topic.retention_ms),
            "cleanup.policy": topic.cleanup,
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "min.insync.replicas": str(min_insync),
        },
    )
