"""The servers that an agent knows, and the order in which it tries them.

Never forgets one for what it did: a server that acknowledged nothing is tried after the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

MAX_SERVERS = 8
"""So many of those that a master names are tried, and remembered."""

MAX_DOUBLINGS = 4
"""The wait for acknowledgements doubles so often at most."""


class Servers:
    """Agent ports, `host:port`. `known`: those of an earlier process; `remember` is told them whenever they change."""

    def __init__(self, known: Iterable[str] = (), remember: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        self.known: list[str] = list(known)[:MAX_SERVERS]
        """To be tried while no master answers: the one that welcomed us last, and those assigned last."""
        self._remember = remember
        self._left: dict[str, None] = {}
        """Those that were left because they acknowledged nothing, the latest at the end."""
        self._acked = 0
        self._waits = 0
        """How often nothing was acknowledged for too long, since something was."""

    def assigned(self, servers: Sequence[str]) -> None:
        """A master named these, best first."""
        self._keep([*self.known[:1], *servers])

    def welcomed(self, server: str) -> None:
        """That one serves us."""
        self._keep([server, *self.known])

    def acknowledged(self, count: int) -> None:
        """So many envelopes were acknowledged, by whomever, since the start: more than before take all blame away."""
        if count > self._acked:
            self._acked, self._waits = count, 0
            self._left.clear()

    def patience_s(self, first_s: float) -> float:
        """How long a server may acknowledge nothing: `first_s`, and twice as long after each time in vain."""
        return first_s * 2.0 ** min(self._waits, MAX_DOUBLINGS)

    def in_order(self, servers: Iterable[str]) -> list[str]:
        """The servers as they are to be tried: those last that acknowledged nothing, of them the latest at the end."""
        order = list(self._left)
        return sorted(servers, key=lambda one: order.index(one) + 1 if one in self._left else 0)

    def leave(self, server: str, servers: Iterable[str]) -> str:
        """Where to go from one that acknowledges nothing; empty where there is no other: then it is kept."""
        self._waits += 1
        self._left.pop(server, None)
        self._left[server] = None
        return next((one for one in self.in_order(servers) if one != server), "")

    def _keep(self, servers: list[str]) -> None:
        known = list(dict.fromkeys(servers))[:MAX_SERVERS]
        if known != self.known:
            self.known = known
            self._remember(known)
