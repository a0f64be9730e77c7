"""Whether a gateway acknowledges what it has: what an agent goes by when it leaves one.

Never holds a slow line, or a gateway that reads nothing for now, against it: time counts from its answer to a ping that
was sent behind the envelopes until its latest answer.
"""

from __future__ import annotations


class AckWatch:
    """Of one connection; envelopes by their number on it, times of one monotonic clock, seconds."""

    def __init__(self) -> None:
        self._asked: tuple[int, int] | None = None
        self._has = 0
        """The gateway has everything below that number."""
        self._since: float | None = None
        self._answered = 0.0

    @property
    def waits(self) -> bool:
        """Whether a ping is under way."""
        return self._asked is not None

    @property
    def waited_s(self) -> float:
        """For how long the gateway has had something and acknowledged nothing, as far as it answered."""
        return 0.0 if self._since is None else self._answered - self._since

    def asked(self, token: int, pushed: int) -> None:
        """A ping was sent behind everything below `pushed`."""
        self._asked = token, pushed

    def answered(self, token: int, first: int, now: float) -> None:
        """A pong came; `first` is the first envelope that is not acknowledged."""
        if self._asked is None or token != self._asked[0]:
            return
        self._has, self._asked, self._answered = self._asked[1], None, now
        if self._since is None and first < self._has:
            self._since = now

    def acknowledged(self, first: int, now: float) -> None:
        """Everything before `first` was acknowledged: what it has of the rest has its full time again."""
        self._since = now if first < self._has else None
        self._answered = now

    def begin_anew(self) -> None:
        """Whatever was waited for so far counts no more."""
        self._since = None
