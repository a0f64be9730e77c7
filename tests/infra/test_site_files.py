"""Which files nodes share: names and contents that are refused, and who wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.pki import CA_CERT, issue, load_bundle, make_ca
from infra.pki.authority import begin_rotation, finish_rotation, switch_rotation
from infra.pki.server_pins import prepare_pins
from infra.settings import Settings
from infra.site_files import (
    REMOVED,
    Edition,
    Move,
    check_file,
    decide,
    digest,
    local_files,
    place_of,
    sign_edition,
    verify_edition,
)
from schemas.errors import ConfigError, MalformedError

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
PRIVATE = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
TOKENS = json.dumps([{"person": "ann", "sha256": "aa" * 32, "until_ms": 1}]).encode()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    make_ca(directory)
    issue(directory, "gateway", server=True, hosts=["127.0.0.1"])
    prepare_pins(directory, "gateway")
    return directory


@pytest.mark.parametrize(
    "name",
    [
        "",
        "policy.json/../secrets/live.key",
        "../policy.json",
        "/etc/passwd",
        "keys/server.pem",
        "keys/../secrets/x.pub.pem",
        "keys/a/b.pub.pem",
        "keys/.pub.pem",
        "keys/.hidden.pub.pem",
        "keys/x.pub.pem\n",
        "keys/x\0.pub.pem",
        "keys/signers/../x.pub.pem",
        "keys/signers/ann.pem",
        "pki/ca.key",
        "pki/gateway.pem",
        "pki/gateway.key",
        "pki/gateway.backup.key",
        "secrets/accounts.key",
        "secrets/kek.passphrase",
        "sealstream.toml",
        "policy.yaml",
        "Policy.json",
        "run/site-files.json",
    ],
)
def test_other_names_have_no_place(name: str, tmp_path: Path) -> None:
    """A database names files of the list alone."""
    settings = Settings(node={"data_dir": tmp_path})
    with pytest.raises(MalformedError):
        place_of(settings, name)
    with pytest.raises(MalformedError):
        check_file(name, PUBLIC)


def test_a_place_is_in_the_folders_of_the_settings(tmp_path: Path) -> None:
    """Wherever they are; of a policy's two forms a node has one."""
    settings = Settings(node={"data_dir": tmp_path}, keys={"dir": tmp_path / "elsewhere"})
    assert place_of(settings, "keys/ann.2026.pub.pem") == tmp_path / "elsewhere" / "ann.2026.pub.pem"
    assert place_of(settings, "keys/signers/ann.pub.pem") == tmp_path / "elsewhere" / "signers" / "ann.pub.pem"
    assert place_of(settings, "pki/pins.json") == tmp_path / "pki" / "pins.json"
    with pytest.raises(MalformedError, match="not the form"):
        place_of(settings, "policy.toml")


def test_only_what_belongs_into_a_file_is_taken(pki: Path) -> None:
    """No private key under any name, nothing beside a public key, no certificate but a CA's, no policy in error."""
    ca, pins = (pki / CA_CERT).read_bytes(), (pki / "pins.json").read_bytes()
    good = {
        "policy.json": b'{"streams": ["screen"]}',
        "policy.toml": b'streams = ["screen"]',
        "keys/server.pub.pem": PUBLIC,
        "keys/signers/ann.pub.pem": PUBLIC,
        "pki/ca.pem": ca,
        "pki/pins.json": pins,
        "secrets/api.tokens": TOKENS,
    }
    for name, content in good.items():
        check_file(name, content)
    bad = [
        ("policy.json", b'{"streams": "screen"}'),
        ("policy.json", b'{"stream": []}'),
        ("policy.json", b"[" * 100_000),
        ("policy.json", b'{"organisation": "' + b"x" * 300_000 + b'"}'),
        ("keys/server.pub.pem", PRIVATE),
        ("keys/server.pub.pem", PUBLIC + PRIVATE),
        ("keys/server.pub.pem", PUBLIC + PUBLIC),
        ("keys/server.pub.pem", ca),
        ("keys/signers/ann.pub.pem", b""),
        ("pki/ca.pem", (pki / "ca.key").read_bytes()),
        ("pki/ca.pem", ca + (pki / "ca.key").read_bytes()),
        ("pki/ca.pem", (pki / "gateway.pem").read_bytes().split(ca)[0]),
        ("pki/ca.pem", ca * 3),
        ("pki/ca.pem", b""),
        ("pki/pins.json", b"{}"),
        ("pki/pins.json", json.dumps(json.loads(pins) | {"pins": [{"name": "x", "state": "y", "pin": "z"}]}).encode()),
        ("pki/pins.json", b"[]"),
        ("secrets/api.tokens", TOKENS.replace(b"until_ms", b"until")),
        ("secrets/api.tokens", TOKENS.replace(b"aa", b"no")),
        ("secrets/api.tokens", b"7"),
        ("secrets/api.tokens", PRIVATE),
    ]
    for name, content in bad:
        with pytest.raises(MalformedError):
            check_file(name, content)


def test_a_node_shares_its_public_files(pki: Path, tmp_path: Path) -> None:
    """And no others that lie beside them."""
    settings = Settings(node={"data_dir": tmp_path}, gateway={"ca_file": pki / CA_CERT})
    signers = settings.keys.dir / "signers"
    signers.mkdir(parents=True)
    (settings.keys.dir / "server.pub.pem").write_bytes(PUBLIC)
    (settings.keys.dir / "server.pem").write_bytes(PRIVATE)
    (settings.keys.dir / "server.pub.pem.replaced-1").write_bytes(PUBLIC)
    (signers / "ann.pub.pem").write_bytes(PUBLIC)
    (signers / "ann.pem").write_bytes(PRIVATE)
    assert set(local_files(settings)) == {
        "keys/server.pub.pem",
        "keys/signers/ann.pub.pem",
        "pki/ca.pem",
        "pki/pins.json",
    }


ONE, TWO, GONE = Edition(1, "one"), Edition(2, "two"), Edition(2, REMOVED)


@pytest.mark.parametrize(
    ("local", "known", "table", "master", "other"),
    [
        ("one", None, None, Move.PUBLISH, Move.NOTHING),
        (REMOVED, None, None, Move.NOTHING, Move.NOTHING),
        ("one", ONE, None, Move.PUBLISH, Move.NOTHING),
        ("one", None, ONE, Move.AGREE, Move.AGREE),
        ("own", None, ONE, Move.TAKE, Move.TAKE),
        (REMOVED, None, ONE, Move.TAKE, Move.TAKE),
        ("one", ONE, TWO, Move.TAKE, Move.TAKE),
        ("own", ONE, TWO, Move.TAKE, Move.TAKE),
        ("own", ONE, ONE, Move.PUBLISH, Move.TAKE),
        (REMOVED, ONE, ONE, Move.TAKE, Move.TAKE),
        ("one", ONE, GONE, Move.TAKE, Move.TAKE),
        ("own", GONE, GONE, Move.PUBLISH, Move.TAKE),
        ("two", TWO, ONE, Move.PUBLISH, Move.NOTHING),
        (REMOVED, TWO, ONE, Move.NOTHING, Move.NOTHING),
    ],
)
def test_who_wins(local: str, known: Edition | None, table: Edition | None, master: Move, other: Move) -> None:
    """The newest version; a change is published by a master alone, and only if it knew the version before it."""
    assert decide(local, known, table, publishes=True, removable=False) is master
    assert decide(local, known, table, publishes=False, removable=False) is other


def test_that_a_file_went_is_published_where_it_may_go() -> None:
    """An officer who is not to be trusted any more is one."""
    assert decide(REMOVED, ONE, ONE, publishes=True, removable=True) is Move.PUBLISH
    assert decide(REMOVED, ONE, ONE, publishes=False, removable=True) is Move.TAKE


def test_an_edition_is_signed_by_a_ca_that_is_trusted(pki: Path, tmp_path: Path) -> None:
    """Name, version and content are signed; both CAs sign while one takes over; another CA's word counts nothing."""
    edition = Edition(3, digest(b"x"))
    signatures = sign_edition(pki, "policy.json", edition)
    verify_edition(pki, "policy.json", edition, signatures)
    make_ca(tmp_path)
    for directory, name, claimed in [
        (tmp_path, "policy.json", edition),
        (pki, "policy.toml", edition),
        (pki, "policy.json", Edition(4, edition.sha256)),
        (pki, "policy.json", Edition(3, digest(b"y"))),
    ]:
        with pytest.raises(MalformedError, match="signed by no CA"):
            verify_edition(directory, name, claimed, signatures)
    with pytest.raises(MalformedError):
        verify_edition(pki, "policy.json", edition, [b"", b"junk", bytes(384)])
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / CA_CERT).write_bytes((tmp_path / CA_CERT).read_bytes())
    begin_rotation(tmp_path)
    switch_rotation(tmp_path)
    signatures = sign_edition(tmp_path, "policy.json", edition)
    assert len(signatures) == 2
    verify_edition(tmp_path / "before", "policy.json", edition, signatures)
    finish_rotation(tmp_path)
    verify_edition(tmp_path, "policy.json", edition, signatures)
    assert len(load_bundle(tmp_path)) == 1
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key"):
        sign_edition(tmp_path, "policy.json", edition)
