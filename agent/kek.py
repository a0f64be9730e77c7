"""The end-to-end KEK's fixed place on each platform (R6.2), and reading it.

Never reads a private key: a KEK on an endpoint is a public key, and its place is the organisation's to fill.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from schemas.errors import ConfigError
from schemas.keys import Recipient

PRODUCT_ID = "{4CEC2908-5CE4-48F0-A717-8FC833D8017A}"
KEK_FILE = "kek.pem"
MAX_KEK_BYTES = 64 * 1024

_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def kek_path(platform: str = sys.platform) -> Path:
    """Where the end-to-end KEK lies: one fixed place for each platform."""
    if platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData"), PRODUCT_ID, "certs", KEK_FILE)
    if platform == "darwin":
        return Path("/Library/Application Support") / PRODUCT_ID / "certs" / KEK_FILE
    return Path("/etc/sealstream/certs") / KEK_FILE


def read_recipients(pem: bytes) -> tuple[Recipient, ...]:
    """Every public key in `pem`, one PEM block after the other (R6.4); raises `ConfigError`."""
    keys = {recipient.key_id: recipient for recipient in map(Recipient.from_pem, _BLOCK.findall(pem))}
    if not keys:
        raise ConfigError("no public key in PEM (it begins with -----BEGIN PUBLIC KEY-----)")
    return tuple(keys.values())


def load_kek(path: Path) -> tuple[Recipient, ...]:
    """The end-to-end KEKs in the file at `path`; raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            return read_recipients(file.read(MAX_KEK_BYTES))
    except OSError as error:
        raise ConfigError(f"the end-to-end KEK {path} cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(f"the end-to-end KEK {path} is not usable: {error}") from None
