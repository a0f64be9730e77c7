"""KEK files are made once, protected, and read with errors that name the file."""

from __future__ import annotations

import json
import stat
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from infra.cli import run
from infra.keys import load_identities, load_identity, load_recipients, make_kek, read_passphrase
from schemas.errors import ConfigError
from schemas.kinds import StreamKind
from schemas.records import encode_segment
from schemas.seal import Epoch
from schemas.work_factor import pbkdf2_rounds

PASSPHRASE = b"correct horse battery"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_kek(directory, "server", PASSPHRASE, bits=2048)
    (directory / "passphrase").write_bytes(PASSPHRASE + b"\n")
    return directory


def test_the_private_half_is_protected(keys: Path) -> None:
    """PBES2 with 600,000 rounds of PBKDF2, readable by its owner alone; the public half by all."""
    private = keys / "server.pem"
    parsed = subprocess.run(
        ["openssl", "asn1parse", "-in", str(private)], capture_output=True, text=True, check=True
    ).stdout
    assert all(word in parsed for word in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", f"{600_000:06X}"))
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE((keys / "server.pub.pem").stat().st_mode) == 0o644


def test_keys_come_back(keys: Path) -> None:
    """What was made is what is read, public and private."""
    [identity] = load_identities(keys, read_passphrase(keys / "passphrase"))
    [recipient] = load_recipients(keys)
    assert identity.key_id == recipient.key_id


def test_nothing_is_replaced(keys: Path) -> None:
    """A second key of the same name is refused, and the first one is as it was."""
    before = (keys / "server.pem").read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        make_kek(keys, "server", PASSPHRASE)
    assert (keys / "server.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "passphrase", "bits", "says"),
    [
        ("a/b", PASSPHRASE, 3072, "name"),
        ("", PASSPHRASE, 3072, "name"),
        ("a", b"short", 3072, "12 characters"),
        ("a", PASSPHRASE, 1024, "2048"),
    ],
)
def test_bad_wishes_are_refused(tmp_path: Path, name: str, passphrase: bytes, bits: int, says: str) -> None:
    """Names that are no file names, weak passphrases and short keys make nothing."""
    with pytest.raises(ConfigError, match=says):
        make_kek(tmp_path, name, passphrase, bits)
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_file(keys: Path, tmp_path: Path) -> None:
    """Wrong passphrases, missing and foreign files: each error says which file it is about."""
    with pytest.raises(ConfigError, match="none of the 1 private keys"):
        load_identities(keys, b"another passphrase")
    with pytest.raises(ConfigError, match="absent"):
        load_identity(tmp_path / "absent.pem", PASSPHRASE)
    (tmp_path / "junk.pub.pem").write_text("junk")
    with pytest.raises(ConfigError, match="junk"):
        load_recipients(tmp_path)
    with pytest.raises(ConfigError, match="passphrase file"):
        read_passphrase(tmp_path / "absent")


def test_a_work_factor_without_measure_is_refused(keys: Path, tmp_path: Path) -> None:
    """Before it is tried: a file must not hold a server up for minutes."""
    lines = (keys / "server.pem").read_bytes().split(b"\n")
    der = b64decode(b"".join(lines[1:-2]))
    assert der.count((600_000).to_bytes(3, "big")) == 1
    changed = b64encode(der.replace((600_000).to_bytes(3, "big"), b"\x7f\xff\xff", 1))  # as long, and 14 times as slow
    (tmp_path / "slow.pem").write_bytes(
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        + b"\n".join(changed[at : at + 64] for at in range(0, len(changed), 64))
        + b"\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    assert pbkdf2_rounds((tmp_path / "slow.pem").read_bytes()) == 0x7FFFFF
    with pytest.raises(ConfigError, match=r"slow\.pem.*rounds of PBKDF2"):
        load_identity(tmp_path / "slow.pem", PASSPHRASE)


def test_keys_and_envelope_commands(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A key made by command opens, by command, what was sealed to it; and says clearly when it does not."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    secret = str(keys / "passphrase")
    assert run(["keys", "make", "ops", "--dir", str(tmp_path), "--passphrase-file", secret, "--json"]) == 0
    made = json.loads(capfd.readouterr().out)
    assert run(["keys", "list", "--dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["key_id"] == made["key_id"]
    [recipient] = load_recipients(tmp_path)
    epoch = Epoch.begin(agent_id=bytes(16), kind=StreamKind.KEYSTROKES, recipients=[recipient], created_ms=0)
    event = {"time_us": 1, "session": "s", "kind": "input", "data": b"ls\r"}
    file = tmp_path / "one.envelope"
    file.write_bytes(epoch.seal(encode_segment(StreamKind.KEYSTROKES, [event]), capture_ms=0))
    assert run(["envelope", "peek", str(file), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["key_ids"] == [made["key_id"]]
    assert run(["envelope", "open", str(file), "--key", made["private"], "--passphrase-file", secret]) == 0
    assert json.loads(capfd.readouterr().out)["data"] == "ls\r"
    stranger = str(keys / "server.pem")
    assert run(["envelope", "open", str(file), "--key", stranger, "--passphrase-file", secret]) == 4
    assert "does not open" in capfd.readouterr().err
    file.write_bytes(b"junk")
    assert run(["envelope", "peek", str(file)]) == 4
    assert run(["envelope", "peek", str(tmp_path / "absent")]) == 2
    assert run(["keys", "list", "--dir", str(tmp_path / "empty")]) == 1
