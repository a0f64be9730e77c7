"""By what an agent knows its servers: the CAs, and the pins of their keys (R3.4); as `docs/pki.md` says.

Never taken without a version: an older set is one that somebody kept.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from schemas.errors import MalformedError

TRUST_PATH = "/api/v1/trust"
RENEW_PATH = "/api/v1/renew"

PIN_BYTES = 32
MIN_PINS, MAX_PINS = 2, 32
MAX_CA_BYTES = 32 * 1024
MAX_VERSION = 2**53 - 1


@dataclass(frozen=True, slots=True)
class TrustSet:
    """`pins` are SHA-256 of a key's SPKI (RFC 7469); with none, any certificate of the CAs is taken.

    `ca` is one to a few certificates (PEM); the first is the one that signs.
    """

    version: int
    ca: str
    pins: tuple[bytes, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object; pins are written as RFC 7469 does, in base64."""
        return {"version": self.version, "ca": self.ca, "pins": [write_pin(pin) for pin in self.pins]}

    @classmethod
    def from_json(cls, value: object) -> TrustSet:
        """Read the object; raises `MalformedError`. One pin alone is refused: its key could not be changed."""
        if not isinstance(value, dict):
            raise MalformedError("not a set of pins", "bad_trust")
        version, ca, pins = value.get("version"), value.get("ca"), value.get("pins")
        if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= MAX_VERSION:
            raise MalformedError("a set of pins needs a version", "bad_trust")
        if not isinstance(ca, str) or len(ca) > MAX_CA_BYTES or "-----BEGIN CERTIFICATE-----" not in ca:
            raise MalformedError("a set of pins needs the CA's certificate", "bad_trust")
        if not isinstance(pins, list) or len(pins) == 1 or len(pins) > MAX_PINS:
            raise MalformedError(f"a set has no pins, or {MIN_PINS} to {MAX_PINS}", "bad_trust")
        return cls(version, ca, tuple(read_pin(pin) for pin in pins))


def write_pin(pin: bytes) -> str:
    """A pin as text: base64, as RFC 7469 and browsers have it."""
    return base64.b64encode(pin).decode("ascii")


def read_pin(text: object) -> bytes:
    """A pin from its text, with or without `sha256/` before it; raises `MalformedError`."""
    try:
        pin = base64.b64decode(str(text).removeprefix("sha256/"), validate=True)
    except (binascii.Error, ValueError):
        pin = b""
    if len(pin) != PIN_BYTES:
        raise MalformedError("a pin is the base64 of 32 bytes", "bad_pin")
    return pin
