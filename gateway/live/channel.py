"""What gateways say to each other through Redis, sealed: Redis has no encryption, and takes messages from anybody.

Never opens a message twice, nor one that was made for another gateway, another stream, or the other direction.

    kind (1), stream (16), salt (16), counter (8), ciphertext and tag (AES-256-GCM)

`stream` is random, chosen by the gateway whose viewers look, for each time that it asks another one. A sender has a
`salt` of its own for each stream, hence a key of its own: HKDF-SHA256 of what all gateways share, with the salt, and
label, kind, stream and receiver as info. The nonce is the counter, which rises by one.
"""

from __future__ import annotations

import secrets
import struct
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import MalformedError

LABEL = b"sealstream/1 live relay"
STREAM_BYTES = SALT_BYTES = 16
MAX_SALTS = 8
"""A stream has one sender, and a few more when that gateway's process is another."""

_HEAD = struct.Struct(f">B{STREAM_BYTES}s{SALT_BYTES}sQ")
_TAG_BYTES = 16


class Kind(IntEnum):
    """Which way a message goes."""

    ASK = 1
    """To the gateway that has the agent: who looks, and that they still do."""
    SHOW = 2
    """To the gateway whose viewers look: what a websocket would carry, or a status of the relay."""


def read_head(message: bytes) -> tuple[Kind, bytes]:
    """Kind and stream of a message; raises `MalformedError` for what is none."""
    if len(message) < _HEAD.size + _TAG_BYTES:
        raise MalformedError("a message of the relay is longer", "relay_malformed")
    kind, stream, _, _ = _HEAD.unpack_from(message)
    try:
        return Kind(kind), stream
    except ValueError:
        raise MalformedError("a message of the relay of an unknown kind", "relay_malformed") from None


class Sealer:
    """One sender's side of a stream: makes messages for the gateway named `to`."""

    def __init__(self, secret: bytes, kind: Kind, stream: bytes, to: str) -> None:
        self._kind, self._stream = kind, stream
        self._salt = secrets.token_bytes(SALT_BYTES)
        self._key = _derive(secret, kind, stream, to, self._salt)
        self._next = 0

    def seal(self, plaintext: bytes) -> bytes:
        """A message of it."""
        head = _HEAD.pack(self._kind, self._stream, self._salt, self._next)
        nonce = _nonce(self._next)
        self._next += 1
        return head + self._key.encrypt(nonce, plaintext, head)


class Opener:
    """The receiver's side, at the gateway named `to`."""

    def __init__(self, secret: bytes, kind: Kind, stream: bytes, to: str) -> None:
        self._secret, self._kind, self._stream, self._to = secret, kind, stream, to
        self._senders: dict[bytes, tuple[AESGCM, int]] = {}
        """Each sender's key, and its next counter."""

    def open(self, message: bytes) -> bytes:
        """What was sealed; raises `MalformedError` for what is forged, seen before or not for this stream."""
        kind, stream, salt, counter = _HEAD.unpack_from(message)
        known = self._senders.get(salt)
        if known is None and len(self._senders) >= MAX_SALTS:
            raise MalformedError("too many senders of one stream", "relay_forged")
        key, next_ = known or (_derive(self._secret, self._kind, self._stream, self._to, salt), 0)
        if (kind, stream) != (self._kind, self._stream) or counter < next_:
            raise MalformedError("a message of the relay that was seen, or is of another stream", "relay_repeated")
        try:
            plaintext = key.decrypt(_nonce(counter), message[_HEAD.size :], message[: _HEAD.size])
        except InvalidTag:
            raise MalformedError("a message that no gateway of ours sealed", "relay_forged") from None
        self._senders[salt] = key, counter + 1
        return plaintext


def _derive(secret: bytes, kind: Kind, stream: bytes, to: str, salt: bytes) -> AESGCM:
    info = LABEL + bytes((0, kind)) + stream + to.encode()
    return AESGCM(HKDF(hashes.SHA256(), 32, salt, info).derive(secret))


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
