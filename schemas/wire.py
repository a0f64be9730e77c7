"""The wire protocol without I/O: bytes in, frames out, and the table of legal moves (`WIRE.md`).

Never reads a clock or a socket. A `Connection` is one side of one connection; agent and gateway wrap a shell round it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from schemas.errors import LocalError, WireError
from schemas.frames import (
    PREFIX_BYTES,
    Ack,
    AudioOpen,
    Backlog,
    Drain,
    Frame,
    FrameType,
    Goodbye,
    Hello,
    LiveStart,
    LiveState,
    LiveStop,
    Nack,
    Ping,
    Policy,
    Pong,
    Push,
    Welcome,
    build_frame,
    parse_prefix,
)

VERSION = 1


class Role(StrEnum):
    """A side of the connection."""

    AGENT = "agent"
    GATEWAY = "gateway"

    @property
    def peer(self) -> Role:
        """The other side."""
        return Role.GATEWAY if self is Role.AGENT else Role.AGENT


class State(StrEnum):
    """Where the connection is in its life."""

    GREETING = "greeting"
    WELCOMING = "welcoming"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


_BOTH = (Role.AGENT, Role.GATEWAY)
_RUNNING = (State.OPEN, State.DRAINING)

TRANSITIONS: Mapping[tuple[State, Role, type[Any]], State] = {
    (State.GREETING, Role.AGENT, Hello): State.WELCOMING,
    (State.WELCOMING, Role.GATEWAY, Welcome): State.OPEN,
    **{(state, Role.AGENT, frame): state for state in _RUNNING for frame in (Push, LiveState, Backlog)},
    **{(state, Role.GATEWAY, frame): state for state in _RUNNING for frame in (Ack, Nack)},
    **{(state, role, frame): state for state in _RUNNING for role in _BOTH for frame in (Ping, Pong)},
    **{(State.OPEN, Role.GATEWAY, frame): State.OPEN for frame in (Policy, LiveStart, LiveStop, AudioOpen)},
    (State.OPEN, Role.GATEWAY, Drain): State.DRAINING,
    **{(state, role, Goodbye): State.CLOSED for state in State if state is not State.CLOSED for role in _BOTH},
}
"""State, sender and frame to the state after it; a move that is missing is illegal."""


class Connection:
    """One side of one connection."""

    __slots__ = ("_pending", "credit", "pushed", "pushed_bytes", "role", "settled", "state")

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = State.GREETING
        self.pushed = 0
        """Envelopes pushed so far, by whichever side pushes; the number of the next one."""
        self.settled = 0
        """`next` of the last Ack."""
        self.pushed_bytes = 0
        self.credit = 0
        self._pending = bytearray()

    @property
    def unsettled(self) -> int:
        """Envelopes that were pushed and are not acknowledged yet."""
        return self.pushed - self.settled

    @property
    def credit_left(self) -> int:
        """Bytes of envelopes that may still be pushed."""
        return self.credit - self.pushed_bytes

    @property
    def buffered(self) -> int:
        """Bytes kept of a frame that is not complete yet."""
        return len(self._pending)

    def push(self, envelopes: tuple[bytes, ...]) -> bytes:
        """The bytes of a push of `envelopes`, which take the next numbers."""
        return self.send(Push(self.pushed, envelopes))

    def send(self, frame: Frame) -> bytes:
        """The frame's bytes, to be written as they are; raises `LocalError` on an illegal move."""
        try:
            self._move(self.role, frame)
        except WireError as error:
            raise LocalError(f"must not be sent: {error}") from None
        return build_frame(frame)

    def receive(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """The frames that `data` completes; raises `WireError` for what the peer must not send.

        Frames before the offending one are lost with the connection: none of them was acknowledged.
        """
        frames: list[Frame] = []
        view = memoryview(data)
        while view:
            if self.state is State.CLOSED:
                raise WireError("bytes follow a Goodbye")
            frame, used = self._complete_pending(view) if self._pending else self._take(view)
            view = view[used:]
            if frame is not None:
                self._move(self.role.peer, frame)
                frames.append(frame)
        return frames

    def _take(self, view: memoryview) -> tuple[Frame | None, int]:
        """One frame straight from what arrived; an incomplete one is kept."""
        if len(view) >= PREFIX_BYTES:
            row, length = self._prefix(view)
            end = PREFIX_BYTES + length
            if len(view) >= end:
                return row.parse(view[PREFIX_BYTES:end]), end
        self._pending += view
        return None, len(view)

    def _complete_pending(self, view: memoryview) -> tuple[Frame | None, int]:
        """Add just what the frame that is kept still lacks."""
        used = max(0, min(len(view), PREFIX_BYTES - len(self._pending)))
        self._pending += view[:used]
        if len(self._pending) < PREFIX_BYTES:
            return None, used
        row, length = self._prefix(self._pending)
        lacking = PREFIX_BYTES + length - len(self._pending)
        self._pending += view[used : used + lacking]
        used += min(lacking, len(view) - used)
        if len(self._pending) < PREFIX_BYTES + length:
            return None, used
        whole, self._pending = self._pending, bytearray()
        return row.parse(memoryview(whole)[PREFIX_BYTES:]), used

    def _prefix(self, data: bytearray | memoryview) -> tuple[FrameType, int]:
        row, length = parse_prefix(data)
        if (self.state, self.role.peer, row.cls) not in TRANSITIONS:
            raise self._illegal(self.role.peer, row.cls)
        return row, length

    def _illegal(self, sender: Role, cls: type[Any]) -> WireError:
        return WireError(f"{cls.__name__} from the {sender} while {self.state}")

    def _move(self, sender: Role, frame: Frame) -> None:
        after = TRANSITIONS.get((self.state, sender, type(frame)))
        if after is None:
            raise self._illegal(sender, type(frame))
        match frame:
            case Push():
                self._count_push(frame)
            case Ack():
                self._count_ack(frame)
            case Nack() if not self.settled <= frame.index < self.pushed:
                raise WireError(f"a nack names envelope {frame.index}, which is not outstanding")
            case Welcome():
                if frame.version != VERSION:
                    raise WireError(f"version {frame.version} is not spoken here", 4)
                self.credit = frame.credit
        self.state = after

    def _count_push(self, push: Push) -> None:
        if push.first != self.pushed:
            raise WireError(f"a push begins at {push.first}, not at {self.pushed}")
        size = push.size
        if size > self.credit_left:
            raise WireError(f"a push of {size} bytes is beyond the credit of {self.credit_left}")
        self.pushed += len(push.envelopes)
        self.pushed_bytes += size

    def _count_ack(self, ack: Ack) -> None:
        if not self.settled <= ack.next <= self.pushed:
            raise WireError(f"an ack of {ack.next} is not between {self.settled} and {self.pushed}")
        if ack.credit < self.credit:
            raise WireError("credit never goes down")
        self.settled = ack.next
        self.credit = ack.credit
