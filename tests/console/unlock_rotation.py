"""A rotation at an endpoint: what is written after it is sealed to another KEK than what was written before.

Never touches what other agents seal to, and takes back what it made.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from infra.demo.canary import Needle
from tests.console.sealed_endpoint import STREAMS, SealedEndpoint, Words
from tests.live.operator import documents_of, psql, sealstream, until


@dataclass(frozen=True)
class Rotated:
    """The endpoint as it was before, and as it is after: one agent, two KEKs with a passphrase each, other words."""

    before: SealedEndpoint
    after: SealedEndpoint

    @property
    def both(self) -> tuple[SealedEndpoint, SealedEndpoint]:
        """One after the other."""
        return self.before, self.after

    def needles(self) -> list[Needle]:
        """All that must not leave the officer's page, of either key."""
        return [needle for one in self.both for needle in one.needles()]


@contextmanager
def rotated(before: SealedEndpoint, place: Path) -> Iterator[Rotated]:
    """Have the endpoint of `sealed_endpoint(…, place)` seal to a new KEK, and work on."""
    settings, agent, kek = before.settings, before.agent, f"w{uuid4().hex[:8]}"
    passphrase = "-".join(secrets.token_hex(3) for _ in range(4))
    secret = place / "passphrase-after"
    secret.write_text(passphrase + "\n")
    sealstream(settings, "keys", "make", kek, "--bits", "2048", "--passphrase-file", str(secret))
    sealstream(settings, "keys", "register", kek)
    version = ""
    try:
        sealstream(settings, "keys", "rotate", "begin", before.kek, kek)
        sealstream(settings, "keys", "rotate", "finish", before.kek)
        signer = str(place / "stick" / f"{before.kek}.pem")
        sealstream(settings, "keys", "distribute", "--signer", signer, "--passphrase-file", str(place / "passphrase"))
        [[version]] = psql(settings, "select max(version) from key_set")
        until("the new KEK", lambda: agent.status()["key_set"]["streams"] == {stream: [kek] for stream in STREAMS})
        after = replace(before, kek=kek, passphrase=passphrase, words=Words())
        work(after)
        yield Rotated(before, after)
    finally:
        if version:
            psql(settings, f"delete from key_set where version = {version}")
        psql(settings, f"update encryption_kek set successor = null where successor = '{kek}.pub.pem'")
        psql(settings, f"delete from encryption_kek where pub_datafile = '{kek}.pub.pem'")


def work(after: SealedEndpoint) -> None:
    """A message and a terminal; the words of both can be found by their hashes."""
    settings, agents, words = after.settings, [after.agent.agent_id], after.words
    known = {one["_id"] for one in documents_of(settings, agents)}
    after.send(f"About {words.mail}", f"Dear Ann,\n\nplease look at {words.mail}.\n\nHelen\n")
    after.record_terminal(f"echo train {words.typed}")

    def indexed() -> bool:
        new = [one for one in documents_of(settings, agents) if one["_id"] not in known and one["end_to_end"]]
        return {one["stream"] for one in new} >= {"email", "keystrokes"}

    until("sealed texts of after", indexed, within_s=180)
