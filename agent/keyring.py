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

    def replace_server(self, pems: Iterable[str]) -> bool:
        """Seal to these KEKs from the next epoch on; whether they differ from those before. Raises `ConfigError`."""
        server = read_recipients("\n".join(pems).encode())
        if len(server) > MAX_RECIPIENTS:
            raise ConfigError(f"the server names {len(server)} KEKs; there may be {MAX_RECIPIENTS}")
        changed = {one.key_id for one in server} != {one.key_id for one in self.server}
        self.server = server
        return changed

    def audience(self, kind: StreamKind, policy: Policy) -> Audience:
        """Who may open that stream under that policy; raises `ConfigError` when their keys are not there."""
        if policy.seals_end_to_end(kind) or kind.label in self.key_sets.bound:
            signed = self.key_sets.recipients(kind)
            return Audience(signed or load_kek(self._kek_file), end_to_end=True)
        if not self.server:
            raise ConfigError("the server's KEK is not known: enrol this agent (`sealstream agent enrol`)")
        return Audience(self.server, end_to_end=False)
