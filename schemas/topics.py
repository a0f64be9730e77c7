"""Every Kafka topic: its name, key, record, partitions, retention and compaction, in one table.

Names here carry no prefix: a deployment's prefix is put on by `infra.kafka`, nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.kinds import StreamKind

DAY_MS = 86_400_000

MAX_ENVELOPE_BYTES = 1_048_576
"""The largest envelope that the gateway takes; the agent splits what is larger into parts."""

MAX_RECORD_BYTES = MAX_ENVELOPE_BYTES + 65_536
"""`max.message.bytes` of the topics: an envelope with its key, headers and Kafka's own framing."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `partitions` is the default of a small installation; a setting may raise it."""

    name: str
    key: str
    record: str
    help: str
    partitions: int = 6
    retention_ms: int = 7 * DAY_MS
    cleanup: str = "delete"


def envelope_topic(kind: StreamKind) -> str:
    """The topic of a stream's envelopes, such as ``envelopes.screen``."""
    return f"envelopes.{kind.label}"


DOCUMENTS = Topic("documents", "agent id", "Document", "what was mined: text, with when and where it was seen")
ACTIVITY = Topic("activity", "agent id", "ActivitySpan", "active and idle time per person, application and hour")
ALERTS = Topic("alerts", "agent id", "Alert", "rules that matched", partitions=1, retention_ms=30 * DAY_MS)
LIFECYCLE = Topic("lifecycle", "node or agent id", "LifecycleEvent", "facts about nodes and agents", 1, -1)
HEARTBEATS = Topic("heartbeats", "node id", "Heartbeat", "that a node lives, every few seconds", 1, 3_600_000)
AUDIT = Topic("audit", "actor", "AuditEntry", "who did what, why", partitions=1, retention_ms=-1)
DEAD_LETTERS = Topic("dead-letters", "topic", "DeadLetter", "what could not be processed, with its reason", 1, -1)

ENVELOPES = tuple(
    Topic(envelope_topic(kind), "agent id", "envelope v1 (bytes)", f"sealed segments of the {kind.label} stream")
    for kind in StreamKind
)

TOPICS: dict[str, Topic] = {
    topic.name: topic for topic in (*ENVELOPES, DOCUMENTS, ACTIVITY, ALERTS, LIFECYCLE, HEARTBEATS, AUDIT, DEAD_LETTERS)
}

HEADER_CONTENT_TYPE = "content-type"
"""Kafka header of an envelope record; its value is `ENVELOPE_CONTENT_TYPE`."""

ENVELOPE_CONTENT_TYPE = b"application/vnd.sealstream.envelope.v1"

HEADER_RETRY = "retry"
"""Kafka header of a dead letter that an operator published again: the stages that had given it up, joined by ``+``."""
