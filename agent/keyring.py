"""For whom each stream is sealed: the server, or the organisation alone.

Never falls back from the organisation's key to the server's: what cannot be sealed as the policy says is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from agent.kek import load_kek, read_recipients
from agent.key_sets import KeySets
from agent.policy import Policy
from schemas.envelope import MAX_RECIPIENTS
from schemas.errors import ConfigError
from schemas.keys import Recipient
from schemas.kinds import StreamKind


class Audience(NamedTuple):
    """Recipients of an epoch."""

    recipients: tuple[Recipient, ...]
    end_to_end: bool


class Keyring:
    """The server's KEKs, and where the organisation's own are: in the signed key set, else in the file (R6.2)."""

    def __init__(self, server: Iterable[Recipient], kek_file: Path, key_sets: KeySets | None = None) -> None:
        self.server = tuple(server)
        self.key_sets = key_sets or KeySets("")
        self._kek_file = kek_file
        self._viewers: dict[StreamKind, tuple[Recipient, ...]] = {}

    def replace_server(self, pems: Iterable[str]) -> bool:
        """Seal to these KEKs from the next epoch on; whether they differ from those before. Raises `ConfigError`."""
        server = read_recipients("\n".join(pems).encode())
        if len(server) > MAX_RECIPIENTS:
            raise ConfigError(f"the server names {len(server)} KEKs; there may be {MAX_RECIPIENTS}")
        changed = {one.key_id for one in server} != {one.key_id for one in self.server}
        self.server = server
        return changed

    def viewers(self, kind: StreamKind) -> tuple[Recipient, ...]:
        """Who watches that stream now, by the server's word."""
        return self._viewers.get(kind, ())

    def admit_viewers(self, kind: StreamKind, viewers: Iterable[Recipient]) -> None:
        """Seal that stream to these viewers too from the next epoch on, unless it is sealed end to end."""
        self._viewers[kind] = tuple(viewers)

    def audience(self, kind: StreamKind, policy: Policy) -> Audience:
        """Who may open that stream under that policy; raises `ConfigError` when their keys are not there.

        A viewer's key is named by the server: it never gets near what the server must not read.
        """
        if policy.seals_end_to_end(kind) or kind.label in self.key_sets.bound:
            signed = self.key_sets.recipients(kind)
            return Audience(signed or load_kek(self._kek_file), end_to_end=True)
        if not self.server:
            raise ConfigError("the server's KEK is not known: enrol this agent (`sealstream agent enrol`)")
        everybody = {one.key_id: one for one in (*self.server, *self.viewers(kind))}
        return Audience(tuple(everybody.values())[:MAX_RECIPIENTS], end_to_end=False)
