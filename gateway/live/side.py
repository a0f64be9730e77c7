"""What the agent port tells of its agents to whoever shows them live.

Never waits: it is called while frames are being read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.connection import AgentConnection
    from schemas.frames import Hello, LiveState


class LiveSide(Protocol):
    """Who comes, who goes, and what they say of being watched."""

    def came(self, connection: AgentConnection, hello: Hello) -> None:
        """An agent was welcomed; this is its connection from now on."""

    def gone(self, connection: AgentConnection) -> None:
        """It has no connection any more."""

    def said(self, connection: AgentConnection, state: LiveState) -> None:
        """What became of a stream that it was asked for."""


class NobodyWatches:
    """A gateway without live viewing."""

    def came(self, connection: AgentConnection, hello: Hello) -> None:
        """Nothing."""

    def gone(self, connection: AgentConnection) -> None:
        """Nothing."""

    def said(self, connection: AgentConnection, state: LiveState) -> None:
        """Nothing."""
