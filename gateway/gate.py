"""Whom the agent port lets in, decided by the certificate right after the handshake, and again when the rules change.

Never lets a byte of application data through either way before that: who shows a key that is not pinned is cut off
without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from infra.pki.authority import CA_CERT, load_bundle
from infra.pki.forms import key_id
from infra.pki.register import Entry, Register
from schemas.errors import ConfigError
from schemas.trust import read_pin

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.peer import Peer
    from infra.pki.revocations import Revocations

log = structlog.get_logger()

_CERTIFICATES_KEPT = 2
"""An agent that renewed may come back with its certificate from before, if the answer did not reach it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an agent is not let in. `silent`: it is not told, since it is not who it says it is.

    `renewable`: one that is connected may come back at once, with the certificate that it has got since.
    """

    reason: str
    silent: bool = False
    renewable: bool = False


class Gate:
    """The rules: revoked agents and certificates, CAs that are trusted now, and agents' pins where they are on."""

    def __init__(self, directory: Path, revocations: Revocations, *, pin_agents: bool) -> None:
        self._directory = directory
        self._revocations = revocations
        self._register = Register(directory) if pin_agents else None
        self._pins: dict[bytes, list[tuple[int, tuple[bytes, ...]]]] = {}
        self._stamp: tuple[int, int] | None = None
        self._issuers: frozenset[bytes] = frozenset()
        self._load_issuers()
        self._learn_pins()

    def reload(self) -> bool:
        """Look at the files again; whether somebody who was let in may have to go."""
        revoked = self._revocations.reload()
        try:
            issuers = self._load_issuers()
            self._learn_pins()
        except ConfigError as error:
            log.error("gate_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return revoked
        return revoked or issuers or self._register is not None

    def refuses(self, peer: Peer) -> Refusal | None:
        """Why that agent is refused, if it is."""
        if peer.agent_id in self._revocations:
            return Refusal("revoked")
        if self._revocations.has_serial(peer.serial):
            return Refusal("revoked certificate")
        if peer.issuer and peer.issuer not in self._issuers:
            return Refusal("certificate of a CA that is not trusted any more: enrol again", renewable=True)
        if self._register is not None and not self._is_pinned(peer):
            return Refusal("not a key that this agent registered", silent=True)
        return None

    def _is_pinned(self, peer: Peer) -> bool:
        agent = UUID(peer.agent_id).bytes
        if self._knows(agent, peer.pin):
            return True
        try:
            self._learn_pins()  # it may have enrolled a moment ago
        except ConfigError as error:
            log.error("gate_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
        return self._knows(agent, peer.pin)

    def _knows(self, agent: bytes, pin: bytes) -> bool:
        return any(pin in pins for _, pins in self._pins.get(agent, ()))

    def _learn_pins(self) -> None:
        for entry in self._register.read() if self._register else ():
            if entry.kind == "agent":
                kept = self._pins.setdefault(UUID(entry.name).bytes, [])
                kept.append((entry.issued_ms, pins_of(entry)))
                kept.sort(key=itemgetter(0))  # one that another node issued before may come late
                del kept[:-_CERTIFICATES_KEPT]

    def _load_issuers(self) -> bool:
        try:
            stat = (self._directory / CA_CERT).stat()
        except OSError as error:
            raise ConfigError(f"the CA in {self._directory} cannot be read: {error.strerror}") from None
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return False
        self._issuers = frozenset(key_id(ca).digest for ca in load_bundle(self._directory))
        self._stamp = stamp
        return True


def pins_of(entry: Entry) -> tuple[bytes, ...]:
    """The keys that an agent may show after that certificate: its own, and its backup."""
    return tuple(read_pin(text) for text in (entry.pin, entry.backup_pin) if text)
