"""Opening private KEKs with a passphrase: for unlocking (R6.6), for miners, and for re-wrapping.

Never says which key a passphrase nearly opened, never keeps a passphrase, and opens nothing retired or revoked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog

from infra.keys.files import load_identities, load_identity
from infra.keys.registry import USABLE, Purpose, Registered, find
from infra.keys.table import registered
from infra.settings import Settings, read_secret
from schemas.errors import (
    ConfigError,
    KekClosedError,
    KekMissingError,
    KeyAccessError,
    UnavailableError,
    WrongPassphraseError,
)
from schemas.keys import Unwrapper

log = structlog.get_logger(__name__)

Passphrase = bytes | bytearray | None


def open_identities(settings: Settings, passphrase: Passphrase, names: Sequence[str] | None = None) -> list[Unwrapper]:
    """The private KEKs of these names; without names, every end-to-end KEK that the passphrase opens.

    Takes 0.15 s a key, and holds the interpreter's lock for it: do it in a process or thread of its own. Raises
    `WrongPassphraseError`, `KekMissingError` (not registered, or its file is not here), `KekClosedError` (retired or
    revoked), or `ConfigError` for a file that is no key.
    """
    rows = registered(settings)
    if names is not None:
        return [open_identity(settings, find(rows, name), passphrase) for name in names]
    officers = [row for row in rows if row.purpose is Purpose.END_TO_END]
    if not officers:
        raise KekMissingError(
            "no end-to-end KEK is registered: `sealstream keys make NAME` makes one, `sealstream keys register NAME` "
            "registers one that is there"
        )
    return _open_any(settings, officers, passphrase)


def open_identity(settings: Settings, row: Registered, passphrase: Passphrase) -> Unwrapper:
    """The private half of one KEK; raises as `open_identities`."""
    folder = settings.keys.dir
    if row.state not in USABLE:
        now = f": {row.successor.removesuffix('.pub.pem')!r} opens what it opened" if row.successor else ""
        raise KekClosedError(f"the KEK {row.name!r} was {row.state.value} and opens nothing{now}", row.state.value)
    if row.in_token:
        from infra.keys.token import open_token_key

        return open_token_key(row.private, passphrase, row.recipient(folder), settings.keys.pkcs11_modules)
    path = row.private_path(folder)
    if not path.exists():
        raise KekMissingError(f"the private half of the KEK {row.name!r} is not on this node: {path} is not there")
    if row.encrypted and not passphrase:
        raise WrongPassphraseError(f"the KEK {row.name!r} needs its passphrase")
    try:
        identity = load_identity(path, passphrase if row.encrypted else None)
    except ConfigError:
        if row.encrypted and b"ENCRYPTED" in path.read_bytes():
            raise WrongPassphraseError(f"the passphrase does not open the KEK {row.name!r}") from None
        raise
    public = row.public_path(folder)
    if public.exists() and row.recipient(folder).key_id != identity.key_id:
        raise ConfigError(f"{path} is not the private half of {public}: one of the two was exchanged")
    return identity


def open_server_identities(settings: Settings, rows: Sequence[Registered]) -> list[Unwrapper]:
    """The server's own KEKs that open with the passphrase of the settings; what is end-to-end is never tried.

    Files that nobody registered are the server's too: what was sealed to them before must open.
    """
    folder, passphrase = settings.keys.dir, read_secret(settings.keys.passphrase_file).encode()
    opened: dict[bytes, Unwrapper] = {}
    for row in rows:
        if row.purpose is Purpose.SERVER and row.state in USABLE and row.private:
            try:
                identity = open_identity(settings, row, passphrase)
            except KekMissingError as error:
                log.warning("kek_not_here", kek=row.name, reason=str(error))
            except (ConfigError, UnavailableError) as error:
                log.error("kek_not_opened", kek=row.name, reason=str(error))  # noqa: TRY400 - nothing more to say
            else:
                opened[identity.key_id] = identity
    known = {row.private for row in rows}
    unregistered = [path for path in _private_files(folder) if path.name not in known]
    if unregistered and passphrase:
        try:
            more = load_identities(folder, passphrase, leave=known)
        except ConfigError:
            more = []
        opened |= {identity.key_id: identity for identity in more}
    return list(opened.values())


def _private_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.pem")) if not path.name.endswith(".pub.pem")]


def _open_any(settings: Settings, rows: Sequence[Registered], passphrase: Passphrase) -> list[Unwrapper]:
    """Those that open; when none does, the reason that helps most: a wrong passphrase before a missing file."""
    opened: list[Unwrapper] = []
    reasons: list[KeyAccessError] = []
    for row in rows:
        try:
            opened.append(open_identity(settings, row, passphrase))
        except KeyAccessError as error:
            reasons.append(error)
    if opened:
        return opened
    wrong = [reason for reason in reasons if isinstance(reason, WrongPassphraseError)]
    if len(wrong) > 1:
        raise WrongPassphraseError(f"the passphrase opens none of the {len(wrong)} end-to-end KEKs")
    missing = [reason for reason in reasons if isinstance(reason, KekMissingError)]
    raise (wrong or missing or reasons)[0]
