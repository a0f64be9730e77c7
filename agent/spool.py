"""What a spool is: the agent's durable queue of sealed envelopes, first in, first out.

Never holds anything that is not sealed, and never lets anything go but by an ack or as a gap that it owes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from agent.gap import Gap, Mark


class Lent(NamedTuple):
    """An envelope that is being sent. `number` grows by one with each envelope of the spool's life."""

    number: int
    envelope: bytes


class Backlog(NamedTuple):
    """What waits: envelopes, their bytes, and when the oldest was appended, in milliseconds, if one waits."""

    envelopes: int
    bytes: int
    oldest_ms: int | None


class Owed(NamedTuple):
    """A gap that was not told yet; `id` names it to `settle`."""

    id: int
    gap: Gap


class Spool(Protocol):
    """A queue of envelopes. One recorder appends, one uplink takes and releases."""

    def append(self, envelope: bytes, mark: Mark) -> None:
        """Take an envelope; it is durable soon after (`flush` waits for that), or owed as a gap."""

    async def room(self) -> None:
        """Wait while more is being written than the disk keeps up with."""

    async def flush(self) -> None:
        """Wait until whatever was appended so far is durable, or owed as a gap."""

    def take(self, max_bytes: int) -> list[Lent]:
        """The next durable envelopes, at most `max_bytes` of them; lent until they are released."""

    async def more(self) -> None:
        """Wait until `take` may give something that it did not give before."""

    def rewind(self) -> None:
        """Offer again what was lent and not released: the connection was lost."""

    def release(self, next_number: int) -> None:
        """Forget every envelope below `next_number`: the server has them."""

    def quarantine(self, number: int, reason: str) -> None:
        """Set aside a lent envelope that the server refuses for ever, and owe a gap for it."""

    def owe(self, gap: Gap) -> None:
        """Remember a gap until it was told, however often the agent is killed before."""

    def owed(self) -> list[Owed]:
        """Gaps that were not told yet, oldest first."""

    async def gap_owed(self) -> None:
        """Wait until there is a gap to tell."""

    def settle(self, ids: list[int]) -> None:
        """These gaps stand in durable envelopes now."""

    def backlog(self) -> Backlog:
        """What waits to be acknowledged."""

    def recording(self, streams: frozenset[str]) -> None:
        """Streams that are being recorded: those in which a kill leaves a gap."""

    async def close(self) -> None:
        """Make everything durable and note that the agent ended by itself."""
