"""Searching end-to-end text on a real stack: by command, with a passphrase, while the server knows no word of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from infra.settings import Settings
from tests.live.operator import EnrolledAgent, documents_of, end, psql, sealstream, search, until
from tests.live.typist import Typist
from tests.running_stack import run_cli

pytestmark = [pytest.mark.live, pytest.mark.slow]

PASSPHRASE = "the officers' passphrase"


@contextmanager
def display() -> Iterator[str]:
    """A virtual display of its own; its name."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1000x600x24"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            yield f":{told.readline().strip()}"
    finally:
        end(server)


@contextmanager
def showing(on: str, text: str, place: Path) -> Iterator[None]:
    """A terminal window that shows `text`."""
    place.write_text(text + "\n")
    command = [
        "xterm",
        "-fa",
        "DejaVu Sans Mono",
        "-fs",
        "14",
        "-geometry",
        "70x8+0+0",
        "-e",
        f"cat {place}; sleep 600",
    ]
    window = subprocess.Popen(command, env={**os.environ, "DISPLAY": on}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        end(window)


@dataclass(frozen=True)
class Case:
    """An agent whose streams are all sealed to an officer's KEK, its mailbox, and the officer's ways."""

    settings: Settings
    agent: EnrolledAgent
    mailbox: Path
    kek: str
    secret: str

    def send(self, subject: str, text: str) -> None:
        name = uuid4().hex
        (self.mailbox / "tmp" / name).write_text(
            f"From: ann@example.org\nTo: bob@example.com\nSubject: {subject}\n\n{text}\n"
        )
        (self.mailbox / "tmp" / name).rename(self.mailbox / "new" / name)

    def unlocked(self, *question: str) -> list[dict[str, object]]:
        """Hits of a search with the officer's passphrase, among this agent's texts."""
        how = ("--unlock", "--key", self.kek, "--reason", "a test", "--passphrase-file", self.secret)
        return search(self.settings, *question, "--agent", self.agent.agent_id, *how)


@pytest.fixture(scope="module")
def case(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Made as officers do it: KEK, signer, assignment, signed key set. The policy of others stays as it is."""
    place, kek = tmp_path_factory.mktemp("blind"), f"b{uuid4().hex[:8]}"
    secret = place / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    mailbox = place / "mail"
    for folder in ("new", "cur", "tmp"):
        (mailbox / folder).mkdir(parents=True)
    made = ("--passphrase-file", str(secret))
    sealstream(stack, "keys", "signer", "make", kek, "--out", str(place / "stick"), *made)
    sealstream(stack, "keys", "make", kek, "--bits", "2048", *made)
    sealstream(stack, "keys", "register", kek)
    with display() as screen:
        toml = f'[sources]\nrun = ["email", "screen"]\ndisplay = "{screen}"\nmaildirs = ["{mailbox}"]\n'
        agent = EnrolledAgent.enrol(stack, place / "agent", toml)
        try:
            with agent.running(DISPLAY=screen):
                row = f"select 1 from agent where agent_id = '{agent.agent_id}'"
                until("the agent's row", lambda: psql(stack, row))
                sealstream(stack, "keys", "assign", kek, "--agent", agent.agent_id, "--always")
                sealstream(stack, "keys", "distribute", "--signer", str(place / "stick" / f"{kek}.pem"), *made)
                until("the key set", lambda: len(agent.status()["key_set"]["streams"]) == 3)
                with showing(screen, "quarterly walrus forecast\nthe penguin shipment leaves", place / "note.txt"):
                    yield Case(stack, agent, mailbox, kek, str(secret))
        finally:
            psql(stack, "delete from key_set")
            psql(stack, f"delete from encryption_kek where pub_datafile = '{kek}.pub.pem'")
            (stack.keys.dir / "signers" / f"{kek}.pub.pem").unlink()


def test_mail_is_found_with_the_passphrase_alone(case: Case) -> None:
    """By words, phrases and people; the plain search finds nothing, and no word reaches the search store."""
    word = f"w{uuid4().hex[:8]}"
    case.send(f"Overdue {word}", f"Dear Bob, the wire transfer of {word} is late.")
    [hit] = until("the letter", lambda: case.unlocked(word))
    assert hit["title"] == f"Overdue {word}"
    assert case.unlocked(f'"wire transfer of {word}"', "ann@example.org")
    assert not case.unlocked(f'"transfer wire of {word}"')
    assert search(case.settings, word) == []
    found = [one for one in documents_of(case.settings, [case.agent.agent_id]) if one["stream"] == "email"]
    assert found
    assert word not in json.dumps(found)
    assert all(one["tokens"] and one["end_to_end"] and not one["text"] for one in found)


def test_what_was_typed_is_found_with_the_passphrase(case: Case) -> None:
    """A recorded session is read on the endpoint, and its text sealed beside it."""
    word = f"w{uuid4().hex[:8]}"
    command = [
        sys.executable,
        "-m",
        "infra.cli",
        "agent",
        "record",
        "--dir",
        str(case.agent.directory),
        "bash",
        "--norc",
    ]
    with Typist(command, {**os.environ, "PS1": "ready> "}) as typist:
        typist.await_text("ready>")
        typist.type(f"echo flight {word}\n")
        typist.await_text(f"flight {word}")
        typist.type("exit\n")
        assert typist.await_end() == 0
    [hit] = until("the session", lambda: case.unlocked(f'"flight {word}"', "--stream", "keystrokes"))
    assert hit["kind"] == "terminal"
    assert search(case.settings, word) == []


def test_an_unlocked_miner_reads_screens_that_nobody_could(case: Case) -> None:
    """Without OCR on the endpoint nothing of a screen is found, until an officer's miner has read it."""
    agent = case.agent.agent_id
    archived = f"select 1 from envelope where agent_id = '{agent}' and stream = 'screen' and end_to_end"
    until("screens in the archive", lambda: len(psql(case.settings, archived)) > 1)
    assert case.unlocked("walrus") == []
    asked = ("streams", "unlock", "--agent", agent, "--since", "1h", "--until-time", "now", "--reason", "a test")
    told = until(
        "the miner to find text",
        lambda: (
            (done := run_cli(case.settings.data.root, *asked, "--passphrase-file", case.secret)).returncode == 0
            and not done.stdout.startswith("0 texts")
            and done.stdout
        ),
    )
    assert "0 not opened" in told
    [hit] = until("the screen", lambda: case.unlocked('"penguin shipment"', "walrus"))
    assert hit["stream"] == "screen"
    assert search(case.settings, "walrus", "--agent", agent) == []


def test_a_wrong_passphrase_finds_nothing_and_is_told(case: Case, tmp_path: Path) -> None:
    """It is refused with one clear line; who tried, and why, is in the audit, and no word that was asked for."""
    (tmp_path / "wrong").write_text("guess\n")
    word, reason = f"w{uuid4().hex[:8]}", f"guessing {uuid4().hex[:8]}"
    how = ("--unlock", "--key", case.kek, "--reason", reason, "--passphrase-file", str(tmp_path / "wrong"))
    done = run_cli(case.settings.data.root, "search", word, *how)
    assert done.returncode == 4  # refused
    assert "does not open" in done.stderr
    told = f"select outcome, target, detail from audit_entry where purpose = '{reason}'"
    [[outcome, target, detail]] = until("the audit entry", lambda: psql(case.settings, told))
    assert outcome == "refused"
    assert "wrong_passphrase" in detail
    assert word not in target + detail


def test_questions_that_hashes_cannot_answer_are_refused(case: Case) -> None:
    """Beginnings of words, and a search without a reason, cost nobody a passphrase."""
    for question in (("wal*", "--reason", "a test"), ("walrus",), ("the", "--reason", "a test")):
        done = run_cli(case.settings.data.root, "search", "--unlock", "--key", case.kek, *question)
        assert done.returncode == 2, done.stderr  # usage
