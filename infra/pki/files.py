"""Files of the PKI: secrets that their owner alone may read, and what everyone may.

Never overwrites a secret, and never leaves half of a file.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.files import write_whole


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that its owner alone may read; raises `FileExistsError` for one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


def write_public(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, for everyone to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data, mode=0o644)
    path.chmod(0o644)  # whatever the umask


def write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """A new private key, PKCS#8 without a passphrase: a server must start by itself."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_secret(path, key.private_bytes(encoding, form, serialization.NoEncryption()))


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """The private key in a file; raises `OSError` or `ValueError`."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path} is no RSA key")  # noqa: TRY004 - the file is wrong, not the program
    return key
