"""Files that all nodes of an installation have alike: which they are, where they lie, what may stand in them.

Never a private key, and never a place that is not in this table: what a database says is judged here before it is
written, by its name, its content, and the signature of a CA that this node trusts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from infra.keys.signer import FOLDER as SIGNERS
from infra.pki.authority import CA_KEY, OTHER_KEY, load_bundle
from infra.pki.files import read_key
from infra.pki.server_pins import PINS_NAME, parse_pins
from infra.policy import parse_policy
from schemas.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from infra.settings import Settings

TOKENS_NAME = "secrets/api.tokens"
"""Hashes of tokens of persons without an account; no secret by which anybody gets in."""

REMOVED = ""
"""Stands for the SHA-256 of a file that is not there."""

_KEY_NAME = r"[A-Za-z0-9][A-Za-z0-9_@-]{0,63}(?:\.[A-Za-z0-9_@-]{1,63}){0,3}"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@dataclass(frozen=True, slots=True)
class Kind:
    """Files of one sort. `name` is what the whole name must match; `removable`: that it goes is published, too."""

    name: re.Pattern[str]
    place: Callable[[Settings, str], Path]
    check: Callable[[str, bytes], None]
    max_bytes: int
    removable: bool = False
    mode: int = 0o644
    masters: bool = False
    """Masters alone have it."""


def check_file(name: str, content: bytes) -> None:
    """Raise `MalformedError` for a name that is not shared, or content that a file of that name cannot have."""
    kind = kind_of(name)
    if len(content) > kind.max_bytes:
        raise MalformedError(f"{name} has {len(content)} bytes; at most {kind.max_bytes} are shared", "too_large")
    if b"PRIVATE" in content and not name.startswith("policy."):
        raise MalformedError(f"{name} holds what may be a private key", "private")
    try:
        kind.check(name, content)
    except (ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
        raise MalformedError(f"{name}: {error}", "content") from None


def place_of(settings: Settings, name: str) -> Path:
    """Where a node has that file; raises `MalformedError` for a name that is not shared."""
    return kind_of(name).place(settings, name)


def kind_of(name: str) -> Kind:
    """What holds for a file of that name; raises `MalformedError` for one that is not shared."""
    for kind in KINDS:
        if kind.name.fullmatch(name):
            return kind
    raise MalformedError(f"{name!r} is not the name of a file that nodes share", "name")


def local_files(settings: Settings) -> dict[str, Path]:
    """The shared files that this node has, by name."""
    folder = settings.keys.dir
    names = [
        settings.gateway.policy_file.name and f"policy{settings.gateway.policy_file.suffix}",
        "pki/ca.pem",
        f"pki/{PINS_NAME}",
        TOKENS_NAME,
        *(f"keys/{path.name}" for path in sorted(folder.glob("*.pub.pem"))),
        *(f"keys/{SIGNERS}/{path.name}" for path in sorted((folder / SIGNERS).glob("*.pub.pem"))),
    ]
    places = {name: place_of(settings, name) for name in names if any(kind.name.fullmatch(name) for kind in KINDS)}
    return {name: place for name, place in places.items() if place.is_file()}


def digest(content: bytes | None) -> str:
    """SHA-256 in hex; `REMOVED` for no file."""
    return REMOVED if content is None else hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Edition:
    """One version of a file; `sha256` is `REMOVED` when it was taken away."""

    version: int
    sha256: str


class Move(Enum):
    """What a node does about one file."""

    NOTHING = "nothing"
    AGREE = "agree"
    """This node has what the table has."""
    PUBLISH = "publish"
    TAKE = "take"


def decide(local: str, known: Edition | None, table: Edition | None, *, publishes: bool, removable: bool) -> Move:
    """What to do about a file whose digest here is `local`, of which this node last agreed on `known`.

    The newest version of the table wins over a change that was made without knowing of it. A table that is older than
    what was agreed on is a restored one: who publishes brings it up to date, others wait for that.
    """
    if table is None or (known and table.version < known.version):
        return Move.PUBLISH if publishes and local != REMOVED else Move.NOTHING
    if local == table.sha256:
        return Move.AGREE
    if known is None or known.version != table.version:
        return Move.TAKE
    if publishes and (local != REMOVED or removable):
        return Move.PUBLISH
    return Move.TAKE


def sign_edition(directory: Path, name: str, edition: Edition) -> list[bytes]:
    """Signatures of the CAs whose keys are in `directory` and that are trusted; raises `ConfigError` without one."""
    trusted = [certificate.public_key() for certificate in load_bundle(directory)]
    signatures = []
    for path in (directory / CA_KEY, directory / OTHER_KEY):
        try:
            key = read_key(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise ConfigError(f"the key {path} cannot be used: {error}") from None
        if key.public_key() in trusted:
            signatures.append(key.sign(_signed(name, edition), _PSS, hashes.SHA256()))
    if not signatures:
        raise ConfigError(f"{directory} has no key of a trusted CA: shared files are published where {CA_KEY} is")
    return signatures


def verify_edition(directory: Path, name: str, edition: Edition, signatures: list[bytes]) -> None:
    """Raise `MalformedError` unless a CA that is trusted here signed that edition."""
    for certificate in load_bundle(directory):
        public = certificate.public_key()
        if isinstance(public, rsa.RSAPublicKey) and any(_fits(public, one, name, edition) for one in signatures):
            return
    raise MalformedError(f"{name}, version {edition.version}, is signed by no CA that this node trusts", "signature")


def _fits(public: rsa.RSAPublicKey, signature: bytes, name: str, edition: Edition) -> bool:
    try:
        public.verify(signature, _signed(name, edition), _PSS, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _signed(name: str, edition: Edition) -> bytes:
    return b"\0".join([b"sealstream site file", name.encode(), str(edition.version).encode(), edition.sha256.encode()])


def _policy_place(settings: Settings, name: str) -> Path:
    path = settings.gateway.policy_file
    if path.suffix != Path(name).suffix:
        raise MalformedError(f"{name} is not the form of this node's gateway.policy_file", "name")
    return path


def _check_policy(name: str, content: bytes) -> None:
    parse_policy(content, Path(name))


def _check_public_key(_name: str, content: bytes) -> None:
    text = content.strip()
    if not text.startswith(b"-----BEGIN PUBLIC KEY-----") or text.count(b"-----BEGIN ") != 1:
        raise ValueError("not one public key in PEM")
    serialization.load_pem_public_key(content)


def _check_certificates(_name: str, content: bytes) -> None:
    certificates = x509.load_pem_x509_certificates(content)
    if content.count(b"-----BEGIN ") != len(certificates) or len(certificates) > 2:
        raise ValueError("not one or two certificates in PEM")
    for certificate in certificates:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise ValueError("a certificate that is no CA's")


def _check_pins(_name: str, content: bytes) -> None:
    parse_pins(json.loads(content))


def _check_tokens(_name: str, content: bytes) -> None:
    for row in json.loads(content):
        if set(row) != {"person", "sha256", "until_ms"} or not isinstance(row["person"], str):
            raise ValueError("a row that is no token's")
        if not _SHA256.fullmatch(str(row["sha256"])) or type(row["until_ms"]) is not int:
            raise ValueError("a row whose hash or time is none")


KINDS: tuple[Kind, ...] = (
    Kind(re.compile(r"policy\.(json|toml)"), _policy_place, _check_policy, 262_144),
    Kind(re.compile(r"pki/ca\.pem"), lambda settings, _: settings.gateway.ca_file, _check_certificates, 65_536),
    Kind(
        re.compile(rf"pki/{re.escape(PINS_NAME)}"),
        lambda settings, _: settings.gateway.ca_file.parent / PINS_NAME,
        _check_pins,
        262_144,
    ),
    Kind(
        re.compile(rf"keys/{_KEY_NAME}\.pub\.pem"),
        lambda settings, name: settings.keys.dir / Path(name).name,
        _check_public_key,
        16_384,
    ),
    Kind(
        re.compile(rf"keys/{SIGNERS}/{_KEY_NAME}\.pub\.pem"),
        lambda settings, name: settings.keys.dir / SIGNERS / Path(name).name,
        _check_public_key,
        16_384,
        removable=True,
    ),
    Kind(
        re.compile(re.escape(TOKENS_NAME)),
        lambda settings, _: settings.unlock.tokens_file,
        _check_tokens,
        262_144,
        mode=0o600,
        masters=True,
    ),
)
"""Every file that is shared; there are no others."""
