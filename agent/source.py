"""What a source of events is: the one interface between recording something and keeping it.

A source never seals, stores or sends: it emits events, and stops where the policy tells it to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from agent.policy import Policy
from schemas.kinds import StreamKind
from schemas.records import Record

Emit = Callable[[Record], Awaitable[None]]
"""Takes one event, a record of the stream's segment schema. Waits while the recorder is full."""

Tap = Callable[[bytes, int], None]
"""Takes one packet of sound as it is captured, and its time in ms; empty while it is quiet. Never waits."""

CurrentPolicy = Callable[[], Policy]
"""The policy as it is now. Ask again before every look: it may change between two."""


@runtime_checkable
class Source(Protocol):
    """One thing that is recorded, as one stream.

    What yields several streams (a trace) is several sources. Raise `UnavailableError` from `run` when what is recorded
    is not there (no display, no mailbox): the agent records a gap and starts the source again after a while, with
    the reason in its status. Any other error is a fault of the source's own: it is logged, and treated likewise.
    """

    kind: StreamKind
    name: str
    """`screen`, `terminal`, `email`, `activity`, `trace`: what a person reads in status and notice."""

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Emit until cancelled, or return when the input ended; runs once at a time, and may be run again."""

    def renew(self) -> None:
        """Make the next event self-contained (a screen's key frame): called at each epoch start and reconnect.

        Must only take a note and return: the recorder calls it from within `emit` too.
        """


@runtime_checkable
class Hearable(Source, Protocol):
    """A source of sound that can be heard as it is captured, by whoever puts a tap there."""

    taps: set[Tap]
