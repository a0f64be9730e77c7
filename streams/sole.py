"""Sharing a topic out to one member of a group alone, while the others stand by.

For processors that count per person: a person's records may be in any partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class SoleAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka is not typed
    """Gives every partition to the member whose id sorts first; when it goes, to the next."""

    name = "sole"
    version = 0

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """What each member reads."""
        shares: dict[str, Any] = {}
        for ordinal, member in enumerate(sorted(members)):
            topics = members[member].subscription if ordinal == 0 else ()
            shared = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics]
            shares[member] = ConsumerProtocolMemberAssignment(cls.version, shared, b"")
        return shares

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """What a member tells of itself."""
        return ConsumerProtocolMemberMetadata(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: Any) -> None:
        """Nothing to remember."""
