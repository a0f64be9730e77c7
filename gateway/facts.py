"""What the gateway tells of agents: lifecycle facts and audit entries, published like envelopes.

Never holds anything up: a fact that Kafka did not take is published again, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from gateway.publisher import Outcome
from schemas.lifecycle import AgentEvent
from schemas.records import Record, encode_record
from schemas.topics import AUDIT, LIFECYCLE

if TYPE_CHECKING:
    from gateway.publisher import Publisher

RETRY_S = 1.0
AUDIT_TIMEOUT_S = 5.0


class Facts:
    """Tells in the name of the gateway `reporter`, in its `incarnation`."""

    def __init__(self, publisher: Publisher, *, reporter: str, incarnation: str) -> None:
        self.reporter = reporter
        self._publisher = publisher
        self._incarnation = incarnation

    def tell_agent(self, agent_id: str, event: AgentEvent, address: str, detail: dict[str, str]) -> None:
        """A lifecycle fact about an agent."""
        record: Record = {
            "time_ms": now_ms(),
            "subject": "agent",
            "id": agent_id,
            "event": str(event),
            "role": "",
            "address": address,
            "incarnation": self._incarnation,
            "reporter": self.reporter,
            "detail": detail,
        }
        self._publish(LIFECYCLE.name, agent_id.encode(), encode_record("lifecycle_event", record))

    def audit(self, action: str, target: str, outcome: str, **detail: str) -> None:
        """An audit entry; `outcome` is done, refused or failed."""
        self._publish(AUDIT.name, self.reporter.encode(), self._audit_entry(action, target, outcome, detail))

    async def audit_durably(
        self, action: str, target: str, outcome: str, *, actor: str = "", purpose: str = "", **detail: str
    ) -> bool:
        """The same, for what must not happen unless it can be told: whether Kafka has it in time.

        `actor` is who did it, the gateway itself when nobody is named.
        """
        stored: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(became: Outcome) -> None:
            if not stored.done():
                stored.set_result(became)

        actor = actor or self.reporter
        value = self._audit_entry(action, target, outcome, detail, actor=actor, purpose=purpose)
        self._publisher.publish(AUDIT.name, actor.encode(), value, [], settle)
        try:
            return await asyncio.wait_for(stored, AUDIT_TIMEOUT_S) is Outcome.DELIVERED
        except TimeoutError:
            return False

    def _audit_entry(
        self, action: str, target: str, outcome: str, detail: dict[str, str], *, actor: str = "", purpose: str = ""
    ) -> bytes:
        record: Record = {
            "time_ms": now_ms(),
            "actor": actor or self.reporter,
            "action": action,
            "target": target,
            "purpose": purpose,
            "outcome": outcome,
            "detail": detail,
        }
        return encode_record("audit_entry", record)

    def _publish(self, topic: str, key: bytes, value: bytes) -> None:
        self._publisher.publish(topic, key, value, [], partial(self._settled, topic, key, value))

    def _settled(self, topic: str, key: bytes, value: bytes, outcome: Outcome) -> None:
        if outcome is Outcome.FAILED:
            asyncio.get_running_loop().call_later(RETRY_S, self._publish, topic, key, value)


def now_ms() -> int:
    """Milliseconds since the epoch, by the wall clock: for records, never for durations."""
    return time.time_ns() // 1_000_000
