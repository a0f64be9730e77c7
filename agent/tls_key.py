"""The agent's own TLS key, and the one that comes after it: made here, and never leaving this endpoint.

Never written where others can read it.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.identity import CERTIFICATE, KEY
from infra.files import write_whole
from schemas.errors import ConfigError

BACKUP_KEY = "backup-key.pem"
RENEWED = "renewed.json"
"""A renewal that was granted and is not in its places yet: key, certificate, and the backup key."""

CURVE = ec.SECP384R1()
"""The one curve of the datasheet profiles (R3.2): an agent on another could not show its certificate under them."""

Key = ec.EllipticCurvePrivateKey


def make_key() -> Key:
    """A new key."""
    return ec.generate_private_key(CURVE)


def key_pem(key: Key) -> bytes:
    """The key as its file has it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def load_key(path: Path) -> Key:
    """The key in a file; raises `ConfigError`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not usable ({error}): enrol again with --force") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} is not a key that enrolment made: enrol again with --force")
    return key


def write_request(key: Key) -> str:
    """A certificate signing request (PEM): it proves that we have the key, and asks for nothing else."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealstream agent")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def keep_renewal(directory: Path, certificate: str, key: Key, backup: Key | None) -> None:
    """Keep a renewal whole before its parts go to their places, so that key and certificate never part."""
    body = {"certificate": certificate, "key": key_pem(key).decode(), "backup": backup and key_pem(backup).decode()}
    write_whole(directory / RENEWED, json.dumps(body).encode())
    finish_renewal(directory)


def finish_renewal(directory: Path) -> None:
    """Put what was renewed in its places; nothing where nothing waits. Raises `ConfigError`."""
    path = directory / RENEWED
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not usable ({error}): remove it") from None
    write_whole(directory / KEY, body["key"].encode())
    write_whole(directory / CERTIFICATE, body["certificate"].encode(), mode=0o644)
    if body["backup"]:
        write_whole(directory / BACKUP_KEY, body["backup"].encode())
    path.unlink()
