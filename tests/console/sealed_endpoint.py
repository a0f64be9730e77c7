"""An endpoint whose mail, terminals and screens are sealed to an officer's KEK, with words that nobody wrote before.

Never changes what other agents seal to: the key set names this one, and is taken back at the end.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from infra.demo.canary import Needle, key_needles, text_needles
from infra.demo.inspection import epoch_needles
from infra.demo.mail import deliver, make_maildir, write_message
from infra.demo.story import invent_word
from infra.keys import load_identity
from infra.settings import Settings
from schemas.identity import agent_bytes
from tests.live.operator import EnrolledAgent, documents_of, psql, sealstream, until
from tests.live.test_blind_index import display, showing
from tests.live.typist import Typist

STREAMS = ("email", "keystrokes", "screen")


@dataclass(frozen=True)
class Words:
    """What is written at the endpoint. `asked` is another word of the mail, for searches that tell the server."""

    mail: str = field(default_factory=invent_word)
    typed: str = field(default_factory=invent_word)
    screen: str = field(default_factory=invent_word)
    asked: str = field(default_factory=invent_word)

    @property
    def sealed(self) -> tuple[str, ...]:
        """Those that no server may ever see."""
        return self.mail, self.typed, self.screen


@dataclass(frozen=True)
class SealedEndpoint:
    """The endpoint, the officer's key file and what the officer knows."""

    settings: Settings
    agent: EnrolledAgent
    kek: str
    passphrase: str
    maildir: Path
    words: Words = field(default_factory=Words)

    @property
    def key_file(self) -> Path:
        """The private half of the KEK, as the officer has it."""
        return self.settings.keys.dir / f"{self.kek}.pem"

    def send(self, subject: str, text: str) -> None:
        """Deliver a message to the recorded person."""
        deliver(self.maildir, write_message("helen@example.com", "ann@example.com", subject, text))

    def record_terminal(self, line: str) -> None:
        """A recorded shell in which `line` is typed."""
        command = [*(sys.executable, "-m", "infra.cli", "agent", "record"), "--dir", str(self.agent.directory)]
        with Typist([*command, "bash", "--norc"], {**os.environ, "PS1": "ready> "}) as typist:
            typist.await_text("ready>")
            typist.type(f"{line}\n")
            typist.await_text("ready>")
            typist.type("exit\n")
            assert typist.await_end() == 0

    def await_index(self) -> None:
        """Wait until texts of all three streams can be found by their hashes."""

        def indexed() -> bool:
            found = [one for one in documents_of(self.settings, [self.agent.agent_id]) if one["end_to_end"]]
            return {one["stream"] for one in found} >= set(STREAMS)

        until("sealed texts of every stream", indexed, within_s=180)

    def needles(self) -> list[Needle]:
        """All that must not leave the officer's page: texts, passphrase, private key, DEKs."""
        identity = load_identity(self.key_file, self.passphrase.encode())
        pem = self.key_file.read_text("ascii").splitlines()
        lines = [line for line in pem if len(line) > 40 and not line.startswith("-----")]
        private = identity.private_key.private_numbers()
        return [
            *(needle for word in self.words.sealed for needle in text_needles("sealed word", word)),
            *text_needles("passphrase", self.passphrase),
            *key_needles("private key", identity.private_key),
            *(Needle("private key's exponent", private.d.to_bytes(256, "big")[8:40]),),
            *(Needle("line of the key file", line.encode()) for line in lines),
            *epoch_needles(self.settings.archive.dir, agent_bytes(self.agent.agent_id), identity),
        ]


@contextmanager
def sealed_endpoint(settings: Settings, place: Path) -> Iterator[SealedEndpoint]:
    """Made as officers do it: KEK, signer, assignment, signed key set; then an hour of work, told short."""
    kek = f"w{uuid4().hex[:8]}"
    passphrase = "-".join(secrets.token_hex(3) for _ in range(4))
    secret = place / "passphrase"
    secret.write_text(passphrase + "\n")
    made = ("--passphrase-file", str(secret))
    sealstream(settings, "keys", "signer", "make", kek, "--out", str(place / "stick"), *made)
    sealstream(settings, "keys", "make", kek, "--bits", "2048", *made)
    sealstream(settings, "keys", "register", kek)
    version = ""
    try:
        with display() as screen:
            maildir = make_maildir(place / "mail")
            toml = f'[recorder]\nocr = true\n[sources]\nrun = ["email", "screen"]\ndisplay = "{screen}"\n'
            agent = EnrolledAgent.enrol(settings, place / "agent", f'{toml}maildirs = ["{maildir}"]\n')
            with agent.running(DISPLAY=screen):
                row = f"select 1 from agent where agent_id = '{agent.agent_id}'"
                until("the agent's row", lambda: psql(settings, row))
                sealstream(settings, "keys", "assign", kek, "--agent", agent.agent_id, "--always")
                sealstream(settings, "keys", "distribute", "--signer", str(place / "stick" / f"{kek}.pem"), *made)
                [[version]] = psql(settings, "select max(version) from key_set")
                until("the key set", lambda: len(agent.status()["key_set"]["streams"]) == len(STREAMS))
                endpoint = SealedEndpoint(settings, agent, kek, passphrase, maildir)
                with showing(screen, f"the {endpoint.words.screen} shipment\nleaves in the morning", place / "note"):
                    work(endpoint)
                    yield endpoint
    finally:
        if version:
            psql(settings, f"delete from key_set where version = {version}")
        psql(settings, f"delete from encryption_kek where pub_datafile = '{kek}.pub.pem'")
        (settings.keys.dir / "signers" / f"{kek}.pub.pem").unlink()


def work(endpoint: SealedEndpoint) -> None:
    """A message and a terminal; the screen shows a note meanwhile."""
    words = endpoint.words
    endpoint.send(f"About {words.mail}", f"Dear Ann,\n\nplease look at {words.mail} and {words.asked}.\n\nHelen\n")
    endpoint.record_terminal(f"echo flight {words.typed}")
    endpoint.await_index()
