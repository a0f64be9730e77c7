"""The sealed channel of an unlock: between a viewer and the process that opens, through whoever carries the bytes.

Never reuses a nonce: each direction has a key of its own and counts its messages, so none can be lost or swapped.

Opener and viewer each make a P-256 key for this one unlock and tell its public half (65 bytes, uncompressed point).
`secret = ECDH`, and for each direction `key = HKDF-SHA256(secret, salt = session, info = label, 0, direction, opener's
public key, viewer's public key)`. Message number n is AES-256-GCM with n as its 12-byte big-endian nonce, nothing as
additional data. All of it is in WebCrypto.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import MalformedError, OpenError

LABEL = b"sealstream unlock v1"
SESSION_BYTES = 16
TAG_BYTES = 16
MAX_PIECE_BYTES = 256 * 1024
"""The most plaintext of one message from the opener."""

MAX_PASSPHRASE_BYTES = 4096

MORE, LAST, END = 0, 1, 2
"""First byte of a message from the opener: a piece of a segment, its last piece, or the end of all."""

_TO_OPENER, _TO_VIEWER = b"\x01", b"\x02"
_CURVE = ec.SECP256R1()


class Channel:
    """One side's half of the channel."""

    def __init__(self, sending: bytes, receiving: bytes) -> None:
        self._sending, self._receiving = AESGCM(sending), AESGCM(receiving)
        self._sent = self._received = 0

    def seal(self, plaintext: bytes | bytearray | memoryview) -> bytes:
        """The next message."""
        sealed = self._sending.encrypt(self._sent.to_bytes(12, "big"), plaintext, None)
        self._sent += 1
        return sealed

    def open(self, sealed: bytes | memoryview) -> bytearray:
        """The plaintext of the next message, in a buffer that can be wiped; raises `OpenError`."""
        if len(sealed) < TAG_BYTES:
            raise OpenError
        plaintext = bytearray(len(sealed) - TAG_BYTES)
        try:
            self._receiving.decrypt_into(self._received.to_bytes(12, "big"), sealed, None, plaintext)
        except InvalidTag:
            raise OpenError from None
        self._received += 1
        return plaintext


class Offer:
    """The opener's half before the viewer's public key is known."""

    def __init__(self, session: bytes) -> None:
        self._session = session
        self._private = ec.generate_private_key(_CURVE)
        self.public = _point(self._private)

    def accept(self, viewer: bytes) -> Channel:
        """The opener's end of the channel; raises `MalformedError` for what is no public key."""
        to_opener, to_viewer = derive_channel_keys(self._private, viewer, self._session, self.public, viewer)
        return Channel(sending=to_viewer, receiving=to_opener)


def answer(opener: bytes, session: bytes) -> tuple[bytes, Channel]:
    """The viewer's public key and end of the channel; raises `MalformedError` for what is no public key."""
    private = ec.generate_private_key(_CURVE)
    public = _point(private)
    to_opener, to_viewer = derive_channel_keys(private, opener, session, opener, public)
    return public, Channel(sending=to_opener, receiving=to_viewer)


class Released(NamedTuple):
    """A segment as the viewer gets it: what is known of it, and its plaintext, which the viewer may wipe."""

    about: dict[str, Any]
    plaintext: bytearray


def pieces(about: dict[str, Any], plaintext: bytes | memoryview) -> list[bytes]:
    """The messages, not yet sealed, that carry a segment: 4 bytes of length, JSON, plaintext, cut to size."""
    head = json.dumps(about).encode()
    whole = memoryview(len(head).to_bytes(4, "big") + head + bytes(plaintext))
    room = MAX_PIECE_BYTES - 1
    cuts = range(0, len(whole), room)
    return [bytes((LAST if at + room >= len(whole) else MORE,)) + whole[at : at + room] for at in cuts]


class Viewing:
    """Joins the opener's messages to segments, in the order in which they come."""

    def __init__(self, channel: Channel, max_bytes: int = 80 * 1024 * 1024) -> None:
        self._channel = channel
        self._max_bytes = max_bytes
        self._held = bytearray()
        self.summary: dict[str, Any] | None = None
        """What the opener said at the end; until then the rest is missing."""

    def take(self, sealed: bytes | memoryview) -> Released | None:
        """The segment that this message completes, if it does; raises `OpenError` or `MalformedError`."""
        if self.summary is not None:
            raise MalformedError("a message follows the end", "bad_message")
        message = self._channel.open(sealed)
        kind = message[0] if message else None
        self._held += memoryview(message)[1:]
        wipe(message)
        if len(self._held) > self._max_bytes:
            raise MalformedError("a segment is larger than segments may be", "too_large")
        if kind == MORE:
            return None
        if kind not in {LAST, END}:
            raise MalformedError("a message of no known kind", "bad_message")
        held, self._held = self._held, bytearray()
        if kind == END:
            self.summary = _object(held)
            return None
        length = int.from_bytes(held[:4], "big")
        if length > len(held) - 4:
            raise MalformedError("a length does not fit", "bad_message")
        released = Released(_object(held[4 : 4 + length]), held[4 + length :])
        wipe(held)
        return released


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros, in place."""
    buffer[:] = bytes(len(buffer))


def _object(data: bytearray) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise MalformedError("not a JSON object", "bad_message")
    return value


def _point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def derive_channel_keys(
    private: ec.EllipticCurvePrivateKey, theirs: bytes, session: bytes, opener: bytes, viewer: bytes
) -> tuple[bytes, bytes]:
    """The keys to the opener and to the viewer."""
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, theirs)
    except ValueError:
        raise MalformedError("not a public key of the channel", "bad_key") from None
    if len(theirs) != len(opener) or len(session) != SESSION_BYTES:
        raise MalformedError("not a public key of the channel", "bad_key")
    secret = private.exchange(ec.ECDH(), public)
    to_opener, to_viewer = (
        HKDF(hashes.SHA256(), 32, session, LABEL + b"\0" + direction + opener + viewer).derive(secret)
        for direction in (_TO_OPENER, _TO_VIEWER)
    )
    return to_opener, to_viewer
