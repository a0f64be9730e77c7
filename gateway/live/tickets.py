"""Tickets: what the API gives to who may watch, and the websocket takes, perhaps in another process.

Never good for longer than half a minute, for another page than the one that asked, or a second time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from schemas.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.marks import Marks

LIFE_MS = 30_000
KEY_BYTES = 32
MAX_TICKET_BYTES = 8192
CLOCKS_MS = 60_000
"""A used ticket is remembered for so long after its end: gateways' clocks may differ."""

_LABEL = b"sealstream/1 live ticket"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who may watch or hear what, and why. `what` is `screen` or `audio`; times in ms."""

    id: str
    agent_id: str
    what: str
    gateway: str
    user: str
    viewer_key: str
    account_id: str
    account: str
    actor: str
    session_id: str
    purpose: str
    origin: str
    until_ms: int

    @property
    def viewer_key_id(self) -> bytes:
        """What envelopes call the viewer's key; empty where there is none."""
        return hashlib.sha256(base64.b64decode(self.viewer_key)).digest() if self.viewer_key else b""


class Tickets:
    """Makes and checks tickets with the key in the file at `path`, which is made when it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""
        self._used: dict[str, int] = {}
        """Ids of tickets that were shown, until when they would be good."""

    def load(self) -> None:
        """Read the key, or make it; raises `ConfigError`. Touches the disk: not for the event loop."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
            beside.touch(0o600)
            beside.write_bytes(os.urandom(KEY_BYTES))
            try:
                os.link(beside, self._path)  # the first process wins, and its file is whole
            except FileExistsError:
                pass
            finally:
                beside.unlink()
            key = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the key of live tickets {self._path} cannot be used: {error.strerror}") from None
        if len(key) != KEY_BYTES:
            raise ConfigError(f"the key of live tickets {self._path} is damaged: remove it, and a new one is made")
        self._key = key

    @property
    def loaded(self) -> bool:
        """Whether the key was read."""
        return bool(self._key)

    def issue(self, ticket: Ticket) -> str:
        """The ticket as text."""
        body = base64.urlsafe_b64encode(json.dumps(asdict(ticket), separators=(",", ":")).encode())
        return f"{body.decode()}.{self._sign(body)}"

    def check(self, text: str, now_ms: int) -> Ticket:
        """The ticket that `text` is; raises `MalformedError`. Each is good once in this process: see `use`."""
        ticket = self.verify(text)
        if now_ms > ticket.until_ms:
            raise MalformedError("this ticket has expired: ask for another", "expired_ticket")
        self._used = {used: until_ms for used, until_ms in self._used.items() if until_ms >= now_ms}
        if ticket.id in self._used:
            raise _used()
        self._used[ticket.id] = ticket.until_ms
        return ticket

    async def use(self, text: str, now_ms: int, marks: Marks) -> Ticket:
        """`check`, and each is good once at all gateways; while Redis is away, once at each."""
        ticket = self.check(text, now_ms)
        if not await marks.take(f"ticket\0{ticket.id}", ticket.until_ms - now_ms + CLOCKS_MS):
            raise _used()
        return ticket

    def verify(self, text: str) -> Ticket:
        """The ticket that `text` is, whether or not it is still good to begin with; raises `MalformedError`."""
        body, _, signature = text.partition(".")
        if len(text) > MAX_TICKET_BYTES or not hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(body.encode("utf-8", "replace")).encode()
        ):
            raise MalformedError("this ticket is not one of ours", "bad_ticket")
        try:
            values = json.loads(base64.urlsafe_b64decode(body))
            return Ticket(**{field.name: values[field.name] for field in fields(Ticket)})
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise MalformedError("this ticket is of another release", "bad_ticket") from None

    def derive(self, label: bytes) -> bytes:
        """32 bytes that all gateways have and nobody else, for `label` alone; the key must be loaded."""
        return hmac.digest(self._loaded, label, "sha256")

    @property
    def _loaded(self) -> bytes:
        if not self._key:
            raise ConfigError("the key of live tickets is not loaded")
        return self._key

    def _sign(self, body: bytes) -> str:
        return hmac.digest(self._loaded, _LABEL + body, "sha256").hex()


def _used() -> MalformedError:
    return MalformedError("this ticket was used: ask for another", "used_ticket")
