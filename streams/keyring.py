"""The server's private KEKs as an opener.

Never works with a directory that holds none that opens: that is a mistake to tell, not envelopes to give up.
"""

from __future__ import annotations

from infra.keys import load_identities
from infra.settings import Settings, read_secret
from schemas.errors import ConfigError
from schemas.opening import Opener


def load_opener(settings: Settings, cache_size: int = 4096) -> Opener:
    """An opener with every private KEK of `keys.dir` that the passphrase opens; raises `ConfigError`."""
    identities = load_identities(settings.keys.dir, read_secret(settings.keys.passphrase_file).encode())
    if not identities:
        raise ConfigError(
            f"no private KEK in {settings.keys.dir} opens with the passphrase in {settings.keys.passphrase_file}: "
            "make one with `sealstream keys make`"
        )
    return Opener(identities, cache_size)
