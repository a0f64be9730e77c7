"""Officers' signing keys: made by command, kept by the officer, pinned by agents.

No server process reads the private half; the folder of the public halves says whom new agents are to trust.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.files import write_whole
from infra.keys.files import PRIVATE_SUFFIX, PUBLIC_SUFFIX, KekFiles, place_pair, protect_key
from schemas.errors import ConfigError, KekMissingError, WrongPassphraseError
from schemas.keyset import signer_fingerprint, signer_from_pem
from schemas.work_factor import check_work_factor

FOLDER = "signers"
"""Within the folder of keys."""


def make_signer(folder: Path, name: str, passphrase: bytes, private_folder: Path | None = None) -> KekFiles:
    """A new signing key: the public half among the signers in `folder`, the private one there or in another folder."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    places = (folder / FOLDER, private_folder or folder / FOLDER)
    files = place_pair(places, name, passphrase, public, lambda: protect_key(key, passphrase))
    return KekFiles(*files, signer_fingerprint(key.public_key()))


def pinned_signers(folder: Path) -> dict[str, bytes]:
    """Fingerprints of the signers whose public halves lie in the folder of keys, by name; raises `ConfigError`."""
    found: dict[str, bytes] = {}
    for path in sorted((folder / FOLDER).glob("*" + PUBLIC_SUFFIX)):
        try:
            found[path.name.removesuffix(PUBLIC_SUFFIX)] = signer_fingerprint(signer_from_pem(path.read_bytes()))
        except (OSError, ConfigError) as error:
            raise ConfigError(f"the signer {path} cannot be used: {error}") from None
    return found


def load_signer(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """An officer's private key; raises `KekMissingError`, `WrongPassphraseError` or `ConfigError`."""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise KekMissingError(f"the signing key {path} cannot be read: {error.strerror}") from None
    check_work_factor(pem)
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError:
        raise ConfigError(f"the signing key {path} has no passphrase: protect it with `openssl pkcs8 -topk8`") from None
    except (ValueError, UnsupportedAlgorithm):
        if b"ENCRYPTED" in pem:
            raise WrongPassphraseError(f"the passphrase does not open the signing key {path}") from None
        raise ConfigError(f"{path} is no private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not a signing key (Ed25519): `sealstream keys signer make` makes one")
    return key


def signed_before(path: Path) -> dict[str, bytes]:
    """Key ids by name, as this signing key signed them last: kept beside it, where the server cannot change them."""
    record = _record(path)
    try:
        return {name: bytes.fromhex(key_id) for name, key_id in json.loads(record.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{record} is not usable ({error}): move it away, and compare the key ids yourself") from None


def keep_signed(path: Path, key_ids: Mapping[str, bytes]) -> None:
    """Remember what was signed with the key at `path`, beside what was before; raises `ConfigError`."""
    record = {name: key_id.hex() for name, key_id in sorted({**signed_before(path), **key_ids}.items())}
    try:
        write_whole(_record(path), json.dumps(record, indent=1).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"what was signed cannot be kept beside {path}: {error.strerror}") from None


def _record(path: Path) -> Path:
    return path.with_suffix(".signed.json")


def default_signer(folder: Path) -> Path:
    """The private signing key in the folder of keys, when there is one alone; raises `ConfigError`."""
    privates = [path for path in sorted((folder / FOLDER).glob("*" + PRIVATE_SUFFIX)) if PUBLIC_SUFFIX not in path.name]
    if len(privates) != 1:
        raise ConfigError(
            f"{len(privates)} signing keys are in {folder / FOLDER}: name the one to sign with by --signer PATH"
            + ("" if privates else "; `sealstream keys signer make NAME` makes one")
        )
    return privates[0]
