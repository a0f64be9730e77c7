"""Which gateways an agent should try, and in which order; and how many agents one should give away.

Pure: no clock, no chance. Never moves an agent that is well where it is, nor names a dead gateway beside a live one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

OVERLOAD = 1.25
SLACK = 20
"""A gateway has too many agents above `OVERLOAD` times its fair share and `SLACK` more: below, nobody need move."""

CPU_FREE = 0.7
CPU_WEIGHT = 0.5
"""With more than `CPU_FREE` of its processor used, a gateway counts as fuller than it is; with all, by `CPU_WEIGHT`."""

CHOICES = 3
"""So many servers an agent is told."""

BATCH_SHARE = 0.02
BATCH_LEAST = 5
"""An overloaded gateway gives away this share of its agents at a time, and at least so many."""


@dataclass(frozen=True, slots=True)
class Load:
    """A gateway as it counts here. `expected`: agents that were sent there and are not counted in `agents` yet."""

    name: str
    address: str
    agents: int
    capacity: int
    expected: int = 0
    cpu: float = 0.0
    accepts: bool = True
    heard: bool = True

    @property
    def total(self) -> int:
        """Agents that it has or will have."""
        return self.agents + self.expected

    @property
    def full(self) -> bool:
        """Whether it has no room for another."""
        return self.total >= self.capacity

    @property
    def weight(self) -> float:
        """How full it would be with one more: less is better."""
        busy = max(0.0, min(1.0, self.cpu) - CPU_FREE) / (1 - CPU_FREE)
        return (self.total + 1) / max(1, self.capacity) * (1 + CPU_WEIGHT * busy)


def choose(agent_id: str, gateways: Collection[Load], at: str = "", count: int = CHOICES) -> list[Load]:
    """Gateways for the agent, best first; empty when none takes it. `at` is where it is or was last.

    It stays where it is unless that one refuses or has too many. Else the least loaded is first; those that are alike
    are in an order that is the agent's own. What only the log knows comes when nobody tells of itself.
    """
    open_to_it = [one for one in gateways if one.accepts and (one.name == at or not one.full)]
    candidates = [one for one in open_to_it if one.heard] or open_to_it
    ranked = sorted(candidates, key=lambda one: (one.weight, _rank(agent_id, one.name)))
    stays = [one for one in ranked if one.name == at and not is_overloaded(one, candidates)]
    return [*stays, *(one for one in ranked if one not in stays)][:count]


def is_overloaded(one: Load, gateways: Collection[Load]) -> bool:
    """Whether it has more than its share of all agents, by far."""
    return one.total > _most(one, gateways)


def surplus(one: Load, gateways: Collection[Load]) -> int:
    """How many agents it should give away now: a few of those above its share, if others have room below theirs."""
    others = [other for other in gateways if other.accepts and other.heard and other.name != one.name]
    too_many = one.agents - _most(one, [one, *others])
    shares = [min(other.capacity, int(_fair(other, [one, *others]))) for other in others]
    room = sum(max(0, share - other.total) for share, other in zip(shares, others, strict=True))
    batch = max(BATCH_LEAST, int(one.agents * BATCH_SHARE))
    return max(0, min(too_many, room, batch))


def _most(one: Load, gateways: Collection[Load]) -> int:
    return int(OVERLOAD * _fair(one, gateways)) + SLACK


def _fair(one: Load, gateways: Collection[Load]) -> float:
    """Its share of all agents, by capacity."""
    capacity = sum(other.capacity for other in gateways)
    return sum(other.total for other in gateways) * one.capacity / capacity if capacity else 0.0


def _rank(agent_id: str, name: str) -> bytes:
    """Rendezvous hashing: each agent has its own order of gateways, which others' coming and going does not change."""
    return hashlib.blake2b(f"{agent_id} {name}".encode(), digest_size=8).digest()
