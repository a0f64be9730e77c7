"""A miner's keys follow what is registered: a new KEK opens at once, a retired one no more."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from infra.keys import make_kek
from infra.keys.keyring import LOOK_AGAIN_S, KeyringOpener
from infra.keys.registry import Purpose, Registered, State, save_copy
from infra.settings import Settings, load_settings
from schemas.errors import ConfigError, OpenError
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.seal import Epoch

PASSPHRASE = b"the server's passphrase"
FIRST, SECOND = (Registered(f"{name}.pub.pem", f"{name}.pem", purpose=Purpose.SERVER) for name in ("first", "second"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    for name in ("first", "second"):
        make_kek(directory, name, PASSPHRASE, bits=2048)
    return directory


@pytest.fixture
def settings(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose PostgreSQL is away: the copy beside the keys counts."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    monkeypatch.setenv("SEALSTREAM_POSTGRESQL__DSN", "postgresql://nobody@127.0.0.1:1/none")
    (tmp_path / "keys").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "kek.passphrase").write_bytes(PASSPHRASE + b"\n")
    for file in made.iterdir():
        (tmp_path / "keys" / file.name).write_bytes(file.read_bytes())
    return load_settings()


class Hands:
    """A clock that goes when it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sealed(settings: Settings, row: Registered, *, end_to_end: bool = False) -> bytes:
    recipient: Recipient = row.recipient(settings.keys.dir)
    epoch = Epoch.begin(
        agent_id=bytes(16), kind=StreamKind.EMAIL, recipients=[recipient], created_ms=0, end_to_end=end_to_end
    )
    return epoch.seal(b"text", capture_ms=0)


def keep(settings: Settings, *rows: Registered) -> None:
    """What the table says, as the node's copy has it; a copy of the same size and second differs all the same."""
    save_copy(settings.keys.dir, rows)
    path = settings.keys.dir / "registered.json"
    later = path.stat().st_mtime_ns + 10_000_000
    os.utime(path, ns=(later, later))


def hide(settings: Settings, name: str) -> None:
    """Take a KEK's files away, as on a node that does not have them yet."""
    for file in (f"{name}.pem", f"{name}.pub.pem"):
        (settings.keys.dir / file).rename(settings.keys.dir.parent / file)


def show(settings: Settings, name: str) -> None:
    for file in (f"{name}.pem", f"{name}.pub.pem"):
        (settings.keys.dir.parent / file).rename(settings.keys.dir / file)


def test_an_envelope_for_a_kek_that_is_new_opens_at_once(settings: Settings) -> None:
    """It is not given up because the miner looked a moment too early."""
    keep(settings, FIRST)
    envelope = sealed(settings, SECOND)
    hide(settings, "second")
    clock = Hands()
    opener = KeyringOpener(settings, monotonic=clock)
    with pytest.raises(OpenError):
        opener.open(envelope)
    show(settings, "second")
    keep(settings, FIRST, SECOND)
    with pytest.raises(OpenError):  # anyone can send what nobody opens: it is not looked at for each
        opener.open(envelope)
    clock.now += LOOK_AGAIN_S
    assert opener.open(envelope).plaintext == b"text"


def test_a_retired_kek_opens_no_more(settings: Settings) -> None:
    """Not even epochs whose keys are remembered; one that only opens does."""
    keep(settings, FIRST, SECOND)
    opener = KeyringOpener(settings)
    envelope = sealed(settings, FIRST)
    assert opener.open(envelope).plaintext == b"text"
    keep(settings, replace(FIRST, state=State.OPENING), SECOND)
    opener.renew()
    assert opener.open(envelope).plaintext == b"text"
    keep(settings, replace(FIRST, state=State.RETIRED), SECOND)
    opener.renew()
    with pytest.raises(OpenError):
        opener.open(envelope)


def test_an_end_to_end_envelope_is_never_looked_up(settings: Settings) -> None:
    """And its KEK is not tried, whatever its passphrase is."""
    keep(settings, FIRST, replace(SECOND, purpose=Purpose.END_TO_END))
    clock = Hands()
    opener = KeyringOpener(settings, monotonic=clock)
    clock.now += LOOK_AGAIN_S
    with pytest.raises(OpenError):
        opener.open(sealed(settings, SECOND, end_to_end=True))
    assert opener.open(sealed(settings, FIRST)).plaintext == b"text"


def test_keys_that_cannot_be_used_leave_those_before(settings: Settings) -> None:
    """A damaged copy, or one by which nothing opens; at the start that is an error."""
    keep(settings, FIRST)
    opener = KeyringOpener(settings)
    envelope = sealed(settings, FIRST)
    (settings.keys.dir / "registered.json").write_text("junk")
    opener.renew()
    assert opener.open(envelope).plaintext == b"text"
    keep(settings, *(replace(row, state=State.REVOKED) for row in (FIRST, SECOND)))
    opener.renew()
    assert opener.open(envelope).plaintext == b"text"
    with pytest.raises(ConfigError, match="no private KEK"):
        KeyringOpener(settings)
