"""The server's private KEKs, from the key directory.

Never logs a passphrase or a key, and never works with a directory that holds none: that is a mistake to tell.
"""

from __future__ import annotations

from infra.settings import Settings, read_secret
from schemas.errors import ConfigError, SealstreamError
from schemas.keys import Identity
from schemas.opening import Opener


def load_opener(settings: Settings, cache_size: int = 4096) -> Opener:
    """An opener with every private KEK of `keys.dir`; raises `ConfigError`."""
    directory = settings.keys.dir
    passphrase = read_secret(settings.keys.passphrase_file).encode() or None
    files = sorted(file for file in directory.glob("*.pem") if not file.name.endswith(".pub.pem"))
    identities = []
    for file in files:
        try:
            identities.append(Identity.from_pem(file.read_bytes(), passphrase))
        except (OSError, ValueError, SealstreamError) as error:
            raise ConfigError(f"the private KEK {file} cannot be used: {error}") from None
    if not identities:
        raise ConfigError(f"there is no private KEK in {directory}: make one with `sealstream keys make`")
    return Opener(identities, cache_size)
