"""A KEK in a PKCS#11 token unwraps like one in a file: with SoftHSM, a real token in software."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from infra.keys.access import open_identities, open_server_identities
from infra.keys.registry import Purpose, Registered, save_copy
from infra.keys.token import TokenUri, decode_oaep, export_public, open_token_key
from infra.settings import Settings, load_settings
from schemas.errors import ConfigError, KekMissingError, OpenError, UnavailableError, WrongPassphraseError
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.seal import Epoch

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = b"471147114711"
URI = "pkcs11:token=officers;object=kek"

pytestmark = pytest.mark.skipif(not MODULE.exists(), reason="`apt-get install softhsm2 opensc`")


def make_token(root: Path) -> str:
    """A token with an RSA key that cannot be taken out, made by the tools that people make such with; its settings."""
    (root / "tokens").mkdir()
    config = root / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {root / 'tokens'}\nlog.level = ERROR\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(config)}
    pins = ["--so-pin", "12345678", "--pin", PIN.decode()]
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "officers", *pins], env=environment, check=True
    )
    login = ["pkcs11-tool", "--module", str(MODULE), "--token-label", "officers", "--login", "--pin", PIN.decode()]
    make = ["--keypairgen", "--key-type", "rsa:2048", "--label", "kek", "--id", "01", "--usage-decrypt"]
    subprocess.run([*login, *make], env=environment, check=True)
    return str(config)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A token of this module's own."""
    root = tmp_path_factory.mktemp("token")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = make_token(root)
    yield root
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture
def settings(token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose officers' KEK is in the token; PostgreSQL is away."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    monkeypatch.setenv("SEALSTREAM_POSTGRESQL__DSN", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("SEALSTREAM_KEYS__PKCS11_MODULES", f'["{MODULE}"]')
    (tmp_path / "keys").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postgresql.password").write_text("x")
    (tmp_path / "secrets" / "kek.passphrase").write_bytes(PIN + b"\n")
    export_public(URI, PIN, tmp_path / "keys", "vault", [MODULE])
    save_copy(tmp_path / "keys", [Registered("vault.pub.pem", URI)])
    return load_settings()


def test_what_is_sealed_to_a_token_opens_by_it(settings: Settings) -> None:
    """With its PIN as the passphrase, wherever a passphrase is asked for."""
    recipient = Recipient.from_pem((settings.keys.dir / "vault.pub.pem").read_bytes())
    epoch = Epoch.begin(agent_id=bytes(16), kind=StreamKind.EMAIL, recipients=[recipient], created_ms=0)
    envelope = epoch.seal(b"for the officers", capture_ms=0)
    identities = open_identities(settings, bytearray(PIN), ["vault"])
    assert Opener(identities).open(envelope).plaintext == b"for the officers"
    with pytest.raises(OpenError):
        identities[0].unwrap(bytes(256))
    with pytest.raises(OpenError):
        identities[0].unwrap(recipient.wrap(b"not a DEK"))


def test_miners_open_by_a_token_too(settings: Settings) -> None:
    """The server's own KEK may be in one; the passphrase of the settings is its PIN."""
    row = replace(Registered("vault.pub.pem", URI), purpose=Purpose.SERVER)
    assert [one.key_id for one in open_server_identities(settings, [row])] == [row.recipient(settings.keys.dir).key_id]


def test_every_way_of_not_having_the_key(settings: Settings) -> None:
    """A wrong PIN, no PIN, another token, another key, a library that is none."""
    recipient = Recipient.from_pem((settings.keys.dir / "vault.pub.pem").read_bytes())
    for pin in (b"000000000000", b"", None):
        with pytest.raises(WrongPassphraseError):
            open_identities(settings, pin, ["vault"])
    with pytest.raises(KekMissingError, match="no token 'others'"):
        open_token_key("pkcs11:token=others;object=kek", PIN, recipient, [MODULE])
    with pytest.raises(KekMissingError, match="has 0 RSA keys"):
        open_token_key("pkcs11:token=officers;object=other", PIN, recipient, [MODULE])
    with pytest.raises(UnavailableError):
        open_token_key(URI, PIN, recipient, [Path("/lib/none.so")])


def test_a_row_chooses_no_library(settings: Settings) -> None:
    """Only what the settings name is loaded, whatever a URI says."""
    recipient = Recipient.from_pem((settings.keys.dir / "vault.pub.pem").read_bytes())
    with pytest.raises(ConfigError, match="not among"):
        open_token_key(f"{URI}?module-path=/tmp/evil.so", PIN, recipient, [MODULE])
    with pytest.raises(ConfigError, match="pkcs11_modules"):
        open_token_key(URI, PIN, recipient, [])
    assert open_token_key(f"{URI}?module-path={MODULE}", PIN, recipient, [MODULE]).key_id == recipient.key_id


@pytest.mark.parametrize("uri", ["pkcs11:", "pkcs11:object=kek", "pkcs11:token=t", f"{URI}?pin-value=1", "file:x"])
def test_uris_that_are_refused(uri: str) -> None:
    """Those that name no key, and those with a PIN in them: a URI stands in a table."""
    with pytest.raises(ConfigError):
        TokenUri.parse(uri)


def test_a_uri_is_read_as_rfc_7512_writes_it() -> None:
    """With percent-encoded parts and an id."""
    uri = TokenUri.parse("pkcs11:token=the%20officers;id=%01%FF;object=kek?module-path=/usr/lib/x.so")
    assert uri == TokenUri("the officers", "kek", b"\x01\xff", "/usr/lib/x.so")


def test_our_oaep_is_that_of_everybody() -> None:
    """What a library pads is what we take off, and any change is refused."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
    sealed = key.public_key().encrypt(b"\0" * 31 + b"\1", oaep)
    numbers = key.private_numbers()
    block = pow(int.from_bytes(sealed, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")
    assert decode_oaep(block, 256) == b"\0" * 31 + b"\1"
    assert decode_oaep(block.lstrip(b"\0"), 256) == b"\0" * 31 + b"\1"
    for at in (0, 1, 40, 255):
        changed = bytearray(block)
        changed[at] ^= 1
        with pytest.raises(OpenError):
            decode_oaep(bytes(changed), 256)
    with pytest.raises(OpenError):
        decode_oaep(block, 255)
