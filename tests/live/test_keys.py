"""Keys on a real stack, as a user handles them: rotated under a running agent, inserted by SQL, swapped by a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.keys.access import open_identities
from infra.keys.files import load_identity
from infra.settings import Settings
from schemas.envelope import Peek, peek
from schemas.errors import KekMissingError
from schemas.identity import agent_bytes
from schemas.kinds import StreamKind
from schemas.opening import Opener
from sinks.archive.reading import read_envelopes
from tests.live.operator import EnrolledAgent, psql, sealstream, search, until

pytestmark = [pytest.mark.live, pytest.mark.slow]

PASSPHRASE = "the officers' passphrase"


class Post:
    """An agent that watches a mailbox, and what the archive has of it."""

    def __init__(self, settings: Settings, agent: EnrolledAgent, mailbox: Path) -> None:
        self.settings, self.agent, self.mailbox = settings, agent, mailbox
        self._seen: set[Any] = set()

    def send(self, subject: str) -> tuple[Peek, bytes]:
        """Deliver a letter; the envelope in which it is archived."""
        text = f"From: a@b.c\nTo: d@e.f\nMessage-ID: <{uuid4()}@x>\nSubject: {subject}\n\nletter {subject}\n"
        (self.mailbox / "tmp" / subject).write_text(text)
        (self.mailbox / "tmp" / subject).rename(self.mailbox / "new" / subject)
        return until(f"the letter {subject}", self._newest, 60)

    def _newest(self) -> tuple[Peek, bytes] | None:
        found = read_envelopes(
            self.settings.archive.dir, kinds=[StreamKind.EMAIL], agents=[agent_bytes(self.agent.agent_id)]
        )
        for one in found:
            if one.id not in self._seen and not peek(one.value).record.final:  # the last of an epoch has no letter
                self._seen.add(one.id)
                return peek(one.value), one.value
        return None

    def key_set(self) -> dict[str, Any]:
        return dict(self.agent.status()["key_set"])


@contextmanager
def post(settings: Settings, place: Path) -> Iterator[Post]:
    mailbox = place / "mail"
    for folder in ("new", "cur", "tmp"):
        (mailbox / folder).mkdir(parents=True)
    toml = f'[sources]\nmaildirs = ["{mailbox}"]\n[recorder]\nsegment_ms = 100\n'
    agent = EnrolledAgent.enrol(settings, place / "agent", toml)
    with agent.running():
        yield Post(settings, agent, mailbox)


@pytest.fixture
def word() -> str:
    """A name of its own for each run."""
    return f"k{uuid4().hex[:8]}"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """The file with the officers' passphrase."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    return str(tmp_path / "passphrase")


def key_id(settings: Settings, name: str) -> str:
    [row] = [row for row in json.loads(sealstream(settings, "keys", "list", "--json")) if row["name"] == name]
    return str(row["key_id"])


def sealed_to(seen: Peek) -> set[str]:
    return {one.hex() for one in seen.epoch.key_ids}


def test_the_servers_kek_is_rotated_under_a_running_agent(stack: Settings, tmp_path: Path, word: str) -> None:
    """Nobody is restarted, every letter is mined, and the way back is open at the end."""
    own = str(stack.keys.passphrase_file)
    active = [row for row in json.loads(sealstream(stack, "keys", "list", "--json")) if row["state"] == "active"]
    [old] = [row["name"] for row in active if row["purpose"] == "server"]
    sealstream(stack, "keys", "make", word, "--bits", "2048", "--passphrase-file", own)
    with post(stack, tmp_path) as box:
        process = box.agent.status()["pid"]
        before, _ = box.send(f"{word}a")
        assert sealed_to(before) == {key_id(stack, old)}
        sealstream(stack, "keys", "rotate", "begin", old, word)
        both = {key_id(stack, old), key_id(stack, word)}
        until("both KEKs", lambda: sealed_to(box.send(f"{word}b{uuid4().hex[:4]}")[0]) == both)
        sealstream(stack, "keys", "rotate", "finish", old)
        until("the new KEK", lambda: sealed_to(box.send(f"{word}c{uuid4().hex[:4]}")[0]) == {key_id(stack, word)})
        box.send(f"{word}last")
        until("the last letter to be found", lambda: search(stack, f"{word}last"), 90)
        assert search(stack, f"{word}a")
        sealstream(stack, "keys", "retire", old, code=2)  # what the archive has would open no more
        sealstream(stack, "keys", "rotate", "back", old)
        until("the old KEK again", lambda: sealed_to(box.send(f"{word}d{uuid4().hex[:4]}")[0]) == {key_id(stack, old)})
        assert box.agent.status()["pid"] == process


def test_the_datasheets_insert_is_used(stack: Settings, word: str, secret: str) -> None:
    """As it stands, by psql: the KEK opens from then on, without a restart of anything (R6.5)."""
    sealstream(stack, "keys", "make", word, "--bits", "2048", "--passphrase-file", secret)
    with pytest.raises(KekMissingError, match="registered"):
        open_identities(stack, PASSPHRASE.encode(), [word])
    psql(
        stack,
        "insert into encryption_kek (pub_datafile, priv_datafile, priv_encrypted) "
        f"values ('{word}.pub.pem','{word}.pem',true)",
    )
    [opened] = open_identities(stack, bytearray(PASSPHRASE.encode()), [word])
    assert opened.key_id.hex() == key_id(stack, word)
    copied = stack.keys.dir / "registered.json"
    until("the node's copy", lambda: f"{word}.pub.pem" in copied.read_text())
    psql(stack, f"delete from encryption_kek where pub_datafile = '{word}.pub.pem'")


def test_a_server_that_swaps_a_kek_is_refused(stack: Settings, tmp_path: Path, word: str, secret: str) -> None:
    """Officers' KEKs are signed, bound, rotated and re-wrapped; a set that was changed is refused and told."""
    new, stick = f"{word}n", tmp_path / "stick"
    sealstream(stack, "keys", "signer", "make", word, "--out", str(stick), "--passphrase-file", secret)
    signing = ["--signer", str(stick / f"{word}.pem"), "--passphrase-file", secret]
    for name in (word, new):
        sealstream(stack, "keys", "make", name, "--bits", "2048", "--passphrase-file", secret)
    sealstream(stack, "keys", "register", word)
    try:
        with post(stack, tmp_path) as box:
            before, _ = box.send(f"{word}open")
            assert not before.epoch.end_to_end
            only = ["--agent", box.agent.agent_id, "--stream", "email"]
            until("the agent's row", lambda: psql(stack, _row_of(box.agent.agent_id)))
            sealstream(stack, "keys", "assign", word, *only, "--always")
            sealstream(stack, "keys", "distribute", *signing)
            until("the key set", lambda: box.key_set()["streams"] == {"email": [word]})
            sealed, envelope = box.send(f"{word}secret")
            assert sealed.epoch.end_to_end
            assert sealed_to(sealed) == {key_id(stack, word)}
            # Whoever has the server puts another KEK into the set, and into the folder.
            swap(stack, word, new)
            until("the refusal", lambda: "changed after it was signed" in box.key_set()["problem"])
            again, _ = box.send(f"{word}still")
            assert sealed_to(again) == {key_id(stack, word)}
            assert "agents refuse it" in sealstream(stack, "keys", "check", code=1)
            _check_rotation(stack, box, word, new, signing, envelope, secret)
    finally:
        psql(stack, "delete from key_set")
        psql(stack, f"delete from encryption_kek where pub_datafile in ('{word}.pub.pem', '{new}.pub.pem')")
        (stack.keys.dir / "signers" / f"{word}.pub.pem").unlink()


def _check_rotation(
    stack: Settings, box: Post, old: str, new: str, signing: list[str], envelope: bytes, secret: str
) -> None:
    """Re-wrapped, the archive opens with the new KEK and not with the old one."""
    sealstream(stack, "keys", "rotate", "begin", old, new)
    sealstream(stack, "keys", "rotate", "finish", old)
    sealstream(stack, "keys", "distribute", *signing)
    until("the new KEK", lambda: box.key_set()["streams"] == {"email": [new]})
    sealed, _ = box.send(f"{old}new")
    assert sealed_to(sealed) == {key_id(stack, new)}
    assert box.key_set()["problem"] == ""
    sealstream(stack, "keys", "retire", old, code=2)
    sealstream(stack, "keys", "rewrap", old, "--passphrase-file", secret)
    sealstream(stack, "keys", "retire", old)
    [now] = [
        one.value
        for one in read_envelopes(stack.archive.dir, agents=[agent_bytes(box.agent.agent_id)])
        if one.id == peek(envelope).id
    ]
    assert peek(now).epoch.key_ids == peek(box.send(f"{old}last")[1]).epoch.key_ids
    identity = load_identity(stack.keys.dir / f"{new}.pem", PASSPHRASE.encode())
    assert f"{old}secret".encode() not in now
    assert Opener([identity]).open(now).plaintext
    sealstream(stack, "archive", "verify")


def _row_of(agent_id: str) -> str:
    return f"select 1 from agent where agent_id = '{agent_id}'"


def swap(stack: Settings, old: str, new: str) -> None:
    """Put another KEK under that name into the signed sets, as someone with the database would."""
    mine, other = ((stack.keys.dir / f"{name}.pub.pem").read_text() for name in (old, new))
    ids = key_id(stack, old), _id_of(other)
    for version, ordinal, text in psql(stack, "select version, ordinal, signed from key_set"):
        signed = json.loads(text)
        pems = json.dumps(mine)[1:-1], json.dumps(other)[1:-1]
        payload = signed["payload"].replace(pems[0], pems[1]).replace(ids[0], ids[1])
        signed["payload"] = payload.replace(f'"version":{version}', f'"version":{int(version) + 1}')
        psql(
            stack,
            f"insert into key_set (version, ordinal, signed) values ({int(version) + 1}, {ordinal}, "
            f"'{json.dumps(signed)}')",
        )


def _id_of(pem: str) -> str:
    from schemas.keys import Recipient

    return Recipient.from_pem(pem.encode()).key_id.hex()


def test_a_kek_in_a_token_is_registered_by_command(
    stack: Settings, tmp_path: Path, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SoftHSM: its public half becomes a file like others, its private half opens by PIN."""
    from tests.infra.test_key_token import MODULE, PIN, make_token

    make_token(tmp_path)
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("SEALSTREAM_KEYS__PKCS11_MODULES", f'["{MODULE}"]')
    (tmp_path / "pin").write_bytes(PIN)
    uri = f"pkcs11:token=officers;object=kek?module-path={MODULE}"
    sealstream(stack, "keys", "register", word, "--pkcs11", uri, "--passphrase-file", str(tmp_path / "pin"))
    try:
        settings = stack.model_copy(update={"keys": stack.keys.model_copy(update={"pkcs11_modules": [MODULE]})})
        [opened] = open_identities(settings, PIN, [word])
        assert opened.key_id.hex() == key_id(stack, word)
    finally:
        psql(stack, f"delete from encryption_kek where pub_datafile = '{word}.pub.pem'")
        (stack.keys.dir / f"{word}.pub.pem").unlink()
