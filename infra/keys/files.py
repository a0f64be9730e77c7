"""KEK files: making them, and reading those that a node has (R6.5).

Never writes a private key without a passphrase, and never logs where a passphrase came from.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import ConfigError, UnavailableError
from schemas.keys import KEK_BITS, MIN_KEK_BITS, Identity, Recipient

KDF_ROUNDS = 600_000
"""PBKDF2-HMAC-SHA256 rounds that guard a private key; WebCrypto and OpenSSL both read it."""

PUBLIC_SUFFIX = ".pub.pem"
PRIVATE_SUFFIX = ".pem"

MIN_PASSPHRASE = 12

Key = TypeVar("Key", Recipient, Identity)


class KekFiles(NamedTuple):
    """Where one KEK lies."""

    public: Path
    private: Path
    key_id: bytes


def make_kek(directory: Path, name: str, passphrase: bytes, bits: int = KEK_BITS) -> KekFiles:
    """A new KEK: `NAME.pub.pem` (0644) and, under `passphrase`, `NAME.pem` (0600). Never replaces one."""
    if bits < MIN_KEK_BITS:
        raise ConfigError(f"a KEK has at least {MIN_KEK_BITS} bits")
    check_wish((directory, directory), name, passphrase)
    identity = Identity.generate(bits)
    public = identity.recipient.to_pem()
    files = place_pair((directory, directory), name, passphrase, public, lambda: protect(identity, passphrase))
    return KekFiles(*files, identity.key_id)


def check_wish(folders: tuple[Path, Path], name: str, passphrase: bytes) -> tuple[Path, Path]:
    """Where the public and private half of a new key are to lie; raises `ConfigError` when that cannot be."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise ConfigError(f"a passphrase has at least {MIN_PASSPHRASE} characters")
    return check_name(folders, name)


def check_name(folders: tuple[Path, Path], name: str) -> tuple[Path, Path]:
    """The same of a key that needs no passphrase of ours; raises `ConfigError`."""
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f"{name!r} cannot be the name of a key: it becomes a file's name")
    public, private = folders[0] / (name + PUBLIC_SUFFIX), folders[1] / (name + PRIVATE_SUFFIX)
    for path in (public, private):
        if path.exists():
            raise ConfigError(f"{path} exists already: choose another name, keys are never replaced")
    return public, private


def place_pair(
    folders: tuple[Path, Path], name: str, passphrase: bytes, public: bytes, private: Callable[[], bytes]
) -> tuple[Path, Path]:
    """Write the halves of a new key, the private one first; where they lie. Raises `ConfigError`."""
    public_path, private_path = check_wish(folders, name, passphrase)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(private_path, private(), 0o600)
    place_public(public_path, public)
    return public_path, private_path


def place_public(path: Path, pem: bytes) -> None:
    """Write a public half; never replaces one."""
    _write(path, pem, 0o644)


def protect(identity: Identity, passphrase: bytes, rounds: int = KDF_ROUNDS) -> bytes:
    """A private KEK as `protect_key` writes it."""
    return protect_key(identity.private_key, passphrase, rounds)


def protect_key(key: rsa.RSAPrivateKey | Ed25519PrivateKey, passphrase: bytes, rounds: int = KDF_ROUNDS) -> bytes:
    """A private key as PKCS#8 PEM: PBES2, PBKDF2-HMAC-SHA256 with `rounds`, AES-256-CBC; by OpenSSL."""
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    reading, writing = os.pipe()
    try:
        os.write(writing, passphrase + b"\n")
        os.close(writing)
        command = ["openssl", "pkcs8", "-topk8", "-inform", "DER", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"]
        command += ["-iter", str(rounds), "-passout", f"fd:{reading}"]
        done = subprocess.run(command, input=plain, capture_output=True, check=False, pass_fds=[reading])
    except FileNotFoundError:
        raise UnavailableError("openssl is not installed: `apt-get install openssl`") from None
    finally:
        os.close(reading)
    if done.returncode:
        raise ConfigError(f"openssl could not protect the key: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def load_recipients(directory: Path) -> list[Recipient]:
    """The public KEKs in a directory, by name; raises `ConfigError` that names the file at fault."""
    return [_named(path, Recipient.from_pem) for path in sorted(directory.glob("*" + PUBLIC_SUFFIX))]


def load_identities(directory: Path, passphrase: bytes, leave: Collection[str] = ()) -> list[Identity]:
    """The private KEKs in a directory that `passphrase` opens; those of others, and files to `leave`, stay shut."""
    found = [
        path
        for path in sorted(directory.glob("*" + PRIVATE_SUFFIX))
        if not path.name.endswith(PUBLIC_SUFFIX) and path.name not in leave
    ]
    identities = []
    for path in found:
        try:
            identities.append(load_identity(path, passphrase))
        except ConfigError:
            continue
    if found and not identities:
        raise ConfigError(f"the passphrase opens none of the {len(found)} private keys in {directory}")
    return identities


def load_identity(path: Path, passphrase: bytes | bytearray | None) -> Identity:
    """The private KEK in a file; raises `ConfigError` that names the file."""
    return _named(path, lambda pem: Identity.from_pem(pem, passphrase))


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without the line's end."""
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(f"the passphrase file cannot be read: {path}: {error.strerror}") from None


def _named(path: Path, parse: Callable[[bytes], Key]) -> Key:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write beside, flush, link into place: a file of that name appears whole or not at all, and replaces none."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=True) as beside:
        beside.write(data)
        beside.flush()
        os.fchmod(beside.fileno(), mode)
        os.fsync(beside.fileno())
        os.link(beside.name, path)
