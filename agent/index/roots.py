"""The root of one stream's tokens: made anew for each process and each set of recipients, and sealed to these.

Never keeps what yesterday's tokens came of: a stolen endpoint cannot test guesses on the days before.
"""

from __future__ import annotations

import os

from agent.clock import Clock
from agent.gap import Mark
from agent.keyring import Audience
from agent.spool import Spool
from schemas.blind_index import ROOT_ID_BYTES, SECRET_BYTES, Ratchet, Root, day_of
from schemas.index_records import seal_root
from schemas.kinds import StreamKind


class Roots:
    """Today's key of one stream. `erase` it when the agent ends."""

    def __init__(self, kind: StreamKind, agent_id: bytes, spool: Spool, clock: Clock) -> None:
        self._kind = kind
        self._agent_id = agent_id
        self._spool = spool
        self._clock = clock
        self._ratchet: Ratchet | None = None
        self._root_id = b""
        self._recipients: frozenset[bytes] = frozenset()

    def key(self, audience: Audience) -> bytes:
        """The key of today's tokens; its root is appended to the spool before anything that needs it."""
        today = day_of(self._clock.now_us() // 1000)
        recipients = frozenset(recipient.key_id for recipient in audience.recipients)
        if self._ratchet is None or recipients != self._recipients:
            self.erase()
            self._ratchet, self._recipients = Ratchet(os.urandom(SECRET_BYTES), today), recipients
            self._root_id = os.urandom(ROOT_ID_BYTES)
            self._send(self._ratchet, audience)
        elif self._ratchet.advance(today):
            self._send(self._ratchet, audience)
        return self._ratchet.key

    def erase(self) -> None:
        """Forget the secret."""
        if self._ratchet is not None:
            self._ratchet.erase()
        self._ratchet = None

    def _send(self, ratchet: Ratchet, audience: Audience) -> None:
        now_us = self._clock.now_us()
        root = Root(self._kind, self._root_id, ratchet.day, ratchet.secret)
        epoch_id, envelope = seal_root(root, self._agent_id, audience.recipients, now_us // 1000)
        self._spool.append(envelope, Mark(StreamKind.INDEX, epoch_id, 0, now_us, now_us))
