"""KEKs whose private half lives in a PKCS#11 token (R6.4): the token unwraps, the key never leaves it.

Never writes a PIN anywhere, and takes none from a URI: a URI stands in a table.
"""

from __future__ import annotations

from schemas.errors import ConfigError
from schemas.keys import Recipient, Unwrapper


def open_token_key(uri: str, _pin: bytes | bytearray | None, _recipient: Recipient) -> Unwrapper:
    """The key of that URI as an unwrapper; raises `WrongPassphraseError`, `KekMissingError` or `ConfigError`."""
    raise ConfigError(f"{uri}: tokens are not supported yet")
