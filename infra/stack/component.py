"""What the supervisor knows of a component: how to start, ask and stop it, and what must be ready before.

Never knows which components there are.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack.account import Account


class NotReadyError(Exception):
    """A probe's answer: what the component does not do yet, in a few words."""


async def _nothing() -> None:
    """The default of steps that a component does not need."""


@dataclass(frozen=True, slots=True)
class Component:
    """One program of the stack.

    `prepare` makes what it needs on disk, before each start; run again, it and `finish` change nothing.
    `probe` returns its version once it really serves, and raises `NotReadyError` or `OSError` until then.
    `finish` makes what others need in it (topics, tables) before it counts as ready.
    """

    name: str
    command: Sequence[str | Path]
    probe: Callable[[int], Awaitable[str]]
    address: str = ""
    after: frozenset[str] = frozenset()
    reach: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    """What it needs of other nodes: a name, and the addresses of which one must be open before it is started."""
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    prepare: Callable[[], Awaitable[None]] = _nothing
    finish: Callable[[], Awaitable[None]] = _nothing
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 30.0
    ready_within_s: float = 300.0
    watched: bool = False
    """Whether it is restarted when its probe has not answered for long: for our own processes."""


def start_order(components: Sequence[Component]) -> list[list[Component]]:
    """The components in tiers: each needs only what stands in tiers before its own."""
    tiers: list[list[Component]] = []
    placed: set[str] = set()
    rest = list(components)
    while rest:
        tier = [component for component in rest if component.after <= placed]
        assert tier, f"these components wait for each other: {[component.name for component in rest]}"
        tiers.append(tier)
        placed |= {component.name for component in tier}
        rest = [component for component in rest if component.name not in placed]
    return tiers
