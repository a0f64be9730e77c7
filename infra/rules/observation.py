"""What rules look at: one thing that was recorded, whether it comes from a topic or from a store.

Never says more of a thing from a store than the topic said: else a preview would tell what the processor does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from infra.rules.words import flatten
from schemas.records import Record

MINUTE_MS = 60_000
Subject = Literal["document", "span", "envelopes"]


@dataclass(frozen=True)
class Observation:
    """One thing. The same thing has the same `identity`, however often it is seen."""

    subject: Subject
    identity: str
    time_ms: int
    agent_id: str
    person: str
    computer: str = ""
    stream: str = ""
    kind: str = ""
    application: str = ""
    title: str = ""
    texts: tuple[str, ...] = ()
    amount: int = 1
    """One document, milliseconds of activity, or bytes."""

    @cached_property
    def flattened(self) -> tuple[str, ...]:
        """Its texts as phrases are looked for in."""
        return tuple(flatten(text) for text in self.texts if text)


def of_document(record: Mapping[str, Any], document_id: str, time_ms: int) -> Observation:
    """A document: a `Document` record, or its source in Elasticsearch."""
    return Observation(
        subject="document",
        identity=document_id,
        time_ms=time_ms,
        agent_id=record["agent_id"],
        person=record["user"],
        computer=record["computer"],
        stream=record["stream"],
        kind=record["kind"],
        application=record["application"],
        title=record["title"],
        texts=(record["text"], record["title"], record["sender"], *record["recipients"], *record["attachments"]),
    )


def of_span(record: Record) -> Iterator[Observation]:
    """An `ActivitySpan` record: one observation for each run of activity; older records tell their hour alone."""
    key = f"{record['agent_id']}-{record['epoch_id']}-{record['sequence']}-{record['ordinal']}"
    runs = [(run["from_ms"], run["until_ms"] - run["from_ms"]) for run in record["active"]]
    for index, (from_ms, length_ms) in enumerate(runs or [(record["hour_ms"], record["active_ms"])]):
        if length_ms > 0:
            yield Observation(
                subject="span",
                identity=f"{key}-{index}",
                time_ms=from_ms,
                agent_id=record["agent_id"],
                person=record["user"],
                computer=record["computer"],
                stream="activity",
                application=record["application"],
                amount=length_ms,
            )


def of_envelopes(row: Mapping[str, Any]) -> Observation:
    """The envelopes of one agent, stream and minute, as PostgreSQL adds them up."""
    time_ms = round(row["minute"].timestamp()) * 1000
    return Observation(
        subject="envelopes",
        identity=f"{row['agent_id']}-{row['stream']}-{time_ms}",
        time_ms=time_ms,
        agent_id=str(row["agent_id"]),
        person=row["user_name"],
        computer=row["computer"],
        stream=row["stream"],
        amount=int(row["bytes"]),
    )
