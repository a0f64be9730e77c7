"""What a gateway tells an agent of live viewing, as values, and what a viewer gets (`WIRE.md`, R2.3, R4.5).

Never trusts the other side: every field is checked, and what breaks a rule is refused as a whole.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from schemas.audio_packet import KEY_BYTES, SALT_BYTES, Suite
from schemas.errors import ConfigError, MalformedError
from schemas.keys import Recipient
from schemas.kinds import StreamKind

LIVE_STREAMS = frozenset({"screen", "audio"})
"""What can be watched or heard."""

MAX_VIEWER_KEYS = 8
"""So many keys of 2048 bits fit a `LiveStart`."""

VIEWER_KEY_BITS = 2048
"""A viewer's key lives as long as a page: that is enough, and every frame carries what is wrapped for it."""

LEASE_S = 60.0
"""An agent that is not told again stops by itself after so long; the gateway tells again every third of it."""

MAX_LEASE_S = 300.0


class LiveStatus(StrEnum):
    """What an agent says of a stream that it was asked for."""

    ON = "on"
    OFF = "off"
    REFUSED = "refused"


class LiveMessage(IntEnum):
    """The first byte of what a viewer gets."""

    STATUS = 1
    """JSON: a change of state, or a clock reading."""
    ENVELOPE = 2
    """A sealed envelope, as the agent pushed it."""
    SOUND = 3
    """Sequence (6), capture ms (6), and one Opus packet of 20 ms, empty while it is quiet."""


def load_viewer_key(encoded: str) -> Recipient:
    """The recipient in a viewer's key, base64 of SPKI DER; raises `MalformedError`."""
    try:
        key = serialization.load_der_public_key(base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise MalformedError("a viewer's key is base64 of a SubjectPublicKeyInfo", "bad_viewer_key") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != VIEWER_KEY_BITS:
        raise MalformedError(f"a viewer's key is RSA of {VIEWER_KEY_BITS} bits", "bad_viewer_key")
    try:
        return Recipient(key)
    except ConfigError as error:
        raise MalformedError(str(error), "bad_viewer_key") from None


def dump_viewer_key(recipient: Recipient) -> str:
    """The mirror image of `load_viewer_key`."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(recipient.public_key.public_bytes(serialization.Encoding.DER, form)).decode("ascii")


@dataclass(frozen=True, slots=True)
class Watch:
    """`LiveStart.detail`: who watches now, all of them. `fresh`: begin with a frame that stands by itself."""

    viewer_keys: tuple[str, ...] = ()
    viewers: int = 1
    lease_s: float = LEASE_S
    fresh: bool = False

    def to_detail(self) -> dict[str, Any]:
        """As the frame carries it."""
        return {
            "stream": StreamKind.SCREEN.label,
            "viewer_keys": list(self.viewer_keys),
            "viewers": self.viewers,
            "lease_s": self.lease_s,
            "fresh": self.fresh,
        }

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> Watch:
        """As an agent reads it; raises `MalformedError`."""
        if detail.get("stream") != StreamKind.SCREEN.label:
            raise MalformedError("only a screen is watched", "bad_live")
        keys = detail.get("viewer_keys", [])
        if not isinstance(keys, list) or len(keys) > MAX_VIEWER_KEYS or not all(isinstance(key, str) for key in keys):
            raise MalformedError(f"a screen is watched with at most {MAX_VIEWER_KEYS} keys", "bad_live")
        return cls(tuple(keys), _count(detail), _lease(detail), detail.get("fresh") is True)


@dataclass(frozen=True, slots=True)
class Listen:
    """`AudioOpen.detail`: where the agent's sound goes, and how it is sealed (R4.4). The host is the connection's."""

    port: int
    stream_id: int
    suite: Suite
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    listeners: int = 1
    lease_s: float = LEASE_S

    def to_detail(self) -> dict[str, Any]:
        """As the frame carries it."""
        return {
            "port": self.port,
            "stream_id": self.stream_id,
            "suite": int(self.suite),
            "key": base64.b64encode(self.key).decode("ascii"),
            "salt": base64.b64encode(self.salt).decode("ascii"),
            "viewers": self.listeners,
            "lease_s": self.lease_s,
        }

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> Listen:
        """As an agent reads it; raises `MalformedError`."""
        port, stream_id, suite = (detail.get(name, 0) for name in ("port", "stream_id", "suite"))
        if not _is_count(port, 65_535, 1024):
            raise MalformedError("a port for sound is 1024 to 65535", "bad_live")
        if not _is_count(stream_id, (1 << 32) - 1):
            raise MalformedError("a stream id has 32 bits", "bad_live")
        if not _is_count(suite, 255) or suite not in set(Suite):
            raise MalformedError("this way of sealing sound is not known here", "bad_live")
        key, salt = _bytes(detail, "key", KEY_BYTES), _bytes(detail, "salt", SALT_BYTES)
        return cls(port, stream_id, Suite(suite), key, salt, _count(detail), _lease(detail))


def _bytes(detail: Mapping[str, Any], name: str, length: int) -> bytes:
    try:
        value = base64.b64decode(str(detail.get(name)), validate=True)
    except (ValueError, binascii.Error):
        value = b""
    if len(value) != length:
        raise MalformedError(f"the {name} of a sound has {length} bytes", "bad_live")
    return value


def _count(detail: Mapping[str, Any]) -> int:
    viewers = detail.get("viewers", 1)
    if not _is_count(viewers, 10_000):
        raise MalformedError("the number of viewers is not one", "bad_live")
    return int(viewers)


def _lease(detail: Mapping[str, Any]) -> float:
    lease = detail.get("lease_s", LEASE_S)
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0 < lease <= MAX_LEASE_S:
        raise MalformedError(f"a lease is over 0 and up to {MAX_LEASE_S:.0f} seconds", "bad_live")
    return float(lease)


def _is_count(value: Any, most: int, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
