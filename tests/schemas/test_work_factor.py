"""Work factors: what no honest key file asks for is refused before a core is held by it."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import MAX_WRAPPED_BYTES
from schemas.errors import ConfigError
from schemas.keys import Identity, Recipient
from schemas.work_factor import MAX_KEY_FILE_BYTES, check_work_factor
from tests.console.key_files import KeyFiles


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    keys = KeyFiles(tmp_path_factory.mktemp("keys"))
    keys.make_all()
    return keys


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(pem.strip().splitlines()[1:-1]))


def pem_of(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + body + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def named(files: KeyFiles, name: str) -> str:
    return str(next(case["pem"] for case in files.cases if case["name"] == name))


def test_every_form_that_is_read_asks_for_a_reasonable_amount(files: KeyFiles) -> None:
    """OpenSSL's and cryptography's own choices pass."""
    for case in files.cases:
        if "keyId" in case:
            check_work_factor(case["pem"].encode())
            identity = Identity.from_pem(case["pem"].encode(), case["passphrase"].encode() or None)
            assert identity.key_id.hex() == case["keyId"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("PBKDF2 SHA-256, AES-256, 600,000 rounds", "0203" + f"{600_000:06x}", "0203ffffff"),
        ("PBKDF2 SHA-256, AES-256, 600,000 rounds", "0203" + f"{600_000:06x}", "0203000000"),
        ("scrypt", "02024000020108020101", "0202400002017f020101"),
        ("scrypt", "02024000020108020101", "0202400002010802017f"),
        ("scrypt", "02024000020108020101", "02024001020108020101"),
    ],
    ids=["16 million rounds", "no round", "scrypt: memory", "scrypt: parallel", "scrypt: no power of two"],
)
def test_what_asks_for_too_much_is_refused_at_once(files: KeyFiles, name: str, old: str, new: str) -> None:
    """The file's own claim is read before anything is derived."""
    der = der_of(named(files, name)).hex()
    assert der.count(old) == 1
    began = time.process_time()
    with pytest.raises(ConfigError, match="asks for"):
        Identity.from_pem(pem_of(bytes.fromhex(der.replace(old, new))), b"passphrase")
    assert time.process_time() - began < 0.2


def test_a_file_that_is_no_key_file_is_refused_by_its_size() -> None:
    """Nobody parses a film."""
    with pytest.raises(ConfigError, match="too large"):
        check_work_factor(bytes(MAX_KEY_FILE_BYTES + 1))


@given(st.binary(max_size=200))
def test_other_faults_are_left_to_who_loads_the_key(junk: bytes) -> None:
    """Junk is not this module's to refuse."""
    check_work_factor(pem_of(junk))
    check_work_factor(junk)


def test_every_cut_is_left_to_who_loads_the_key(files: KeyFiles) -> None:
    """A file that was cut anywhere claims nothing that is too much."""
    der = der_of(named(files, "scrypt"))
    for size in range(len(der)):
        check_work_factor(pem_of(der[:size]))


def test_a_kek_that_fits_no_envelope_is_refused() -> None:
    """A wrapped DEK has at most 1,024 bytes, so a KEK at most 8,192 bits."""
    fits = rsa.RSAPublicNumbers(65537, (1 << 8191) + 1).public_key()
    assert len(Recipient(fits).wrap(bytes(32))) == MAX_WRAPPED_BYTES
    with pytest.raises(ConfigError, match="at most 8192 bits"):
        Recipient(rsa.RSAPublicNumbers(65537, (1 << 8192) + 1).public_key())
