"""Private KEKs open for who has the passphrase, and every way of not opening has its own error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.keys import make_kek
from infra.keys.access import open_identities, open_server_identities
from infra.keys.registry import Purpose, Registered, State, save_copy
from infra.settings import Settings, load_settings
from schemas.errors import ConfigError, KekClosedError, KekMissingError, WrongPassphraseError

OFFICERS = b"an officers' passphrase"
SERVER = b"the server's passphrase"
ROWS = [
    Registered("server.pub.pem", "server.pem", purpose=Purpose.SERVER),
    Registered("officers.pub.pem", "officers.pem"),
    Registered("finance.pub.pem", "finance.pem"),
]

Write = Callable[..., None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    for name, passphrase in (("server", SERVER), ("officers", OFFICERS), ("finance", OFFICERS + b"2")):
        make_kek(directory, name, passphrase, bits=2048)
    return directory


@pytest.fixture
def settings(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose PostgreSQL is away: the copy beside the keys counts."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    monkeypatch.setenv("SEALSTREAM_POSTGRESQL__DSN", "postgresql://nobody@127.0.0.1:1/none")
    for place in ("keys", "secrets"):
        (tmp_path / place).mkdir()
    (tmp_path / "secrets" / "postgresql.password").write_text("x")
    (tmp_path / "secrets" / "kek.passphrase").write_bytes(SERVER + b"\n")
    for file in made.iterdir():
        (tmp_path / "keys" / file.name).write_bytes(file.read_bytes())
    save_copy(tmp_path / "keys", ROWS)
    return load_settings()


def test_a_passphrase_opens_its_own_keys_alone(settings: Settings) -> None:
    """Without names: every end-to-end KEK that it opens, and no other."""
    [opened] = open_identities(settings, OFFICERS)
    assert opened.key_id == ROWS[1].recipient(settings.keys.dir).key_id
    [finance] = open_identities(settings, bytearray(OFFICERS + b"2"))
    assert finance.key_id == ROWS[2].recipient(settings.keys.dir).key_id


def test_a_wrong_passphrase_is_told_as_such(settings: Settings) -> None:
    """Named or not; none at all is as wrong."""
    for passphrase in (b"something else", SERVER, b"", None):
        with pytest.raises(WrongPassphraseError):
            open_identities(settings, passphrase)
        with pytest.raises(WrongPassphraseError, match="officers"):
            open_identities(settings, passphrase, ["officers"])


def test_a_missing_kek_is_told_as_such(settings: Settings) -> None:
    """One that nobody registered, and one whose private half is not on this node."""
    with pytest.raises(KekMissingError, match="finance, officers, server"):
        open_identities(settings, OFFICERS, ["legal"])
    (settings.keys.dir / "officers.pem").unlink()
    with pytest.raises(KekMissingError, match=r"officers\.pem is not there"):
        open_identities(settings, OFFICERS, ["officers"])
    save_copy(settings.keys.dir, ROWS[:1])
    with pytest.raises(KekMissingError, match="no end-to-end KEK is registered"):
        open_identities(settings, OFFICERS)


@pytest.mark.parametrize("state", [State.RETIRED, State.REVOKED])
def test_what_was_closed_opens_nothing(settings: Settings, state: State) -> None:
    """Even with its passphrase; the error says which of the two it is, and what opens instead."""
    closed = replace(ROWS[1], state=state, successor="officers-2.pub.pem")
    save_copy(settings.keys.dir, [ROWS[0], closed])
    with pytest.raises(KekClosedError, match="'officers-2' opens") as raised:
        open_identities(settings, OFFICERS, ["officers"])
    assert raised.value.state == state.value
    with pytest.raises(KekClosedError):
        open_identities(settings, OFFICERS)


def test_a_key_that_only_opens_still_opens(settings: Settings) -> None:
    """After a rotation the old KEK opens what was sealed to it."""
    save_copy(settings.keys.dir, [replace(ROWS[1], state=State.OPENING)])
    assert len(open_identities(settings, OFFICERS, ["officers"])) == 1


def test_an_exchanged_half_is_noticed(settings: Settings) -> None:
    """A public file that is not the private one's: somebody swapped it."""
    (settings.keys.dir / "officers.pub.pem").write_bytes((settings.keys.dir / "finance.pub.pem").read_bytes())
    with pytest.raises(ConfigError, match="exchanged"):
        open_identities(settings, OFFICERS, ["officers"])


@pytest.mark.parametrize("private", ["/etc/passwd", "../secrets/kek.passphrase", ".."])
def test_a_row_names_files_of_the_folder_alone(settings: Settings, private: str) -> None:
    """Who can write a row does not choose what this machine reads."""
    save_copy(settings.keys.dir, [replace(ROWS[1], private=private)])
    with pytest.raises(ConfigError, match="is not a file in"):
        open_identities(settings, OFFICERS, ["officers"])


def test_the_server_opens_its_own_and_never_tries_the_officers(settings: Settings) -> None:
    """Even where an officer took the server's passphrase by mistake."""
    make_kek(settings.keys.dir, "careless", SERVER, bits=2048)
    rows = [*ROWS, Registered("careless.pub.pem", "careless.pem")]
    opened = open_server_identities(settings, rows)
    assert [one.key_id for one in opened] == [ROWS[0].recipient(settings.keys.dir).key_id]


def test_without_a_way_to_ask_the_table_the_copy_counts(settings: Settings, tmp_path: Path) -> None:
    """A miner's node need not have the password of PostgreSQL."""
    (tmp_path / "secrets" / "postgresql.password").unlink()
    assert len(open_identities(settings, OFFICERS, ["officers"])) == 1


def test_files_that_nobody_registered_are_the_servers(settings: Settings) -> None:
    """What was sealed to them before there was a table still opens."""
    assert len(open_server_identities(settings, ROWS[1:])) == 1
