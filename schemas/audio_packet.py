"""Packets of live sound: sealed by the agent, opened by the gateway (`AUDIO.md`, R4.4).

Never opens a packet twice, never one of another suite than was agreed on, and tells nobody why one did not open.
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from schemas.errors import LocalError, MalformedError, OpenError

KEY_BYTES = 32
SALT_BYTES = 12
TAG_BYTES = 16
HEADER = Struct(">BI6s6s")
"""Suite, stream id, sequence, capture time in ms since the epoch."""

MAX_BODY_BYTES = 1200
"""A packet fits one datagram of any network."""

MAX_PACKETS = 1 << 32
"""So far does one key go: two and a half years of sound, and 64 GiB of Blowfish's short blocks are far."""

WINDOW = 1024
"""Packets that may come out of order, back from the newest."""

_BLOCK_BYTES = 8


class Suite(IntEnum):
    """How packets are sealed: the server's setting decides, nothing is negotiated."""

    CHACHA20_POLY1305 = 1
    BLOWFISH_CTR_HMAC_SHA256 = 2


class AudioPacket(NamedTuple):
    """A packet that opened. `body` is one Opus packet, empty while it is quiet."""

    sequence: int
    time_ms: int
    body: bytes


class _ChaCha:
    """ChaCha20-Poly1305 (RFC 8439): the nonce is the salt, its last 48 bits with the sequence."""

    def __init__(self, stream_id: int, key: bytes, salt: bytes) -> None:
        self._cipher = ChaCha20Poly1305(_expand(key, b"chacha20-poly1305", stream_id))
        self._salt = int.from_bytes(salt, "big")

    def seal(self, sequence: int, header: bytes, body: bytes) -> bytes:
        return self._cipher.encrypt(self._nonce(sequence), body, header)

    def open(self, sequence: int, header: bytes, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(self._nonce(sequence), sealed, header)
        except InvalidTag:
            raise OpenError from None

    def _nonce(self, sequence: int) -> bytes:
        return (self._salt ^ sequence).to_bytes(SALT_BYTES, "big")


class _Blowfish:
    """Blowfish in counter mode, then HMAC-SHA256 cut to 16 bytes over header and ciphertext.

    One ECB context is kept: Blowfish's key schedule costs as much as 15 packets.
    """

    def __init__(self, stream_id: int, key: bytes, salt: bytes) -> None:
        blocks = Cipher(Blowfish(_expand(key, b"blowfish-ctr", stream_id)), modes.ECB())  # noqa: S305  # makes counter mode
        self._blocks = blocks.encryptor()
        self._mac_key = _expand(key, b"hmac-sha256", stream_id)
        self._salt = int.from_bytes(salt[:_BLOCK_BYTES], "big")

    def seal(self, sequence: int, header: bytes, body: bytes) -> bytes:
        ciphertext = self._apply(sequence, body)
        return ciphertext + self._tag(header, ciphertext)

    def open(self, sequence: int, header: bytes, sealed: bytes) -> bytes:
        ciphertext, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(header, ciphertext)):
            raise OpenError
        return self._apply(sequence, ciphertext)

    def _tag(self, header: bytes, ciphertext: bytes) -> bytes:
        return hmac.digest(self._mac_key, header + ciphertext, "sha256")[:TAG_BYTES]

    def _apply(self, sequence: int, data: bytes) -> bytes:
        """`data` under the stream of blocks: salt, with the sequence (48 bits) and a counter (16)."""
        size = len(data)
        first = self._salt ^ (sequence << 16)
        counters = b"".join((first ^ n).to_bytes(_BLOCK_BYTES, "big") for n in range(-(-size // _BLOCK_BYTES)))
        stream = self._blocks.update(counters)[:size]
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


_SUITES: dict[Suite, type[_ChaCha | _Blowfish]] = {
    Suite.CHACHA20_POLY1305: _ChaCha,
    Suite.BLOWFISH_CTR_HMAC_SHA256: _Blowfish,
}


class AudioSealer:
    """The agent's side of one stream of packets."""

    def __init__(self, suite: Suite, stream_id: int, key: bytes, salt: bytes) -> None:
        self.sequence = 0
        """Of the next packet."""
        self._suite = suite
        self._stream_id = stream_id
        self._cipher = _SUITES[suite](stream_id, *_checked(key, salt))

    def seal(self, body: bytes, time_ms: int) -> bytes:
        """A packet of `body`, which takes the next sequence."""
        if len(body) > MAX_BODY_BYTES or self.sequence >= MAX_PACKETS:
            raise LocalError(f"a packet holds {MAX_BODY_BYTES} bytes, and a key serves {MAX_PACKETS} of them")
        sequence, self.sequence = self.sequence, self.sequence + 1
        times = sequence.to_bytes(6, "big"), time_ms.to_bytes(6, "big")
        header = HEADER.pack(self._suite, self._stream_id, *times)
        return header + self._cipher.seal(sequence, header, body)


class AudioOpener:
    """The gateway's side: opens each packet once."""

    def __init__(self, suite: Suite, stream_id: int, key: bytes, salt: bytes) -> None:
        self._suite = suite
        self._stream_id = stream_id
        self._cipher = _SUITES[suite](stream_id, *_checked(key, salt))
        self._window = ReplayWindow()

    def open(self, packet: bytes) -> AudioPacket:
        """What is in `packet`; raises `OpenError`, or `MalformedError` for what is no packet of this stream."""
        if not HEADER.size + TAG_BYTES <= len(packet) <= HEADER.size + MAX_BODY_BYTES + TAG_BYTES:
            raise MalformedError("no packet of sound has that length", "length")
        suite, stream_id, sequence_bytes, time_bytes = HEADER.unpack_from(packet)
        if suite != self._suite or stream_id != self._stream_id:
            raise MalformedError("a packet of another stream", "other_stream")
        sequence = int.from_bytes(sequence_bytes, "big")
        if not self._window.may_take(sequence):
            raise MalformedError("a packet that came before, or far too late", "repeated")
        header, sealed = packet[: HEADER.size], packet[HEADER.size :]
        body = self._cipher.open(sequence, header, sealed)
        self._window.take(sequence)  # only now: who forges packets must not be able to shut out true ones
        return AudioPacket(sequence, int.from_bytes(time_bytes, "big"), body)


class ReplayWindow:
    """Which of the last `WINDOW` sequences were taken."""

    def __init__(self) -> None:
        self._newest = -1
        self._taken = 0
        """One bit each, the newest lowest."""

    def may_take(self, sequence: int) -> bool:
        """Whether it is newer than all, or in the window and not taken yet."""
        back = self._newest - sequence
        return back < 0 or (back < WINDOW and not self._taken >> back & 1)

    def take(self, sequence: int) -> None:
        """Mark it."""
        ahead = sequence - self._newest
        if ahead > 0:
            self._newest = sequence
            self._taken = ((self._taken << ahead) & ((1 << WINDOW) - 1) if ahead < WINDOW else 0) | 1
        else:
            self._taken |= 1 << -ahead


def _expand(key: bytes, label: bytes, stream_id: int) -> bytes:
    """32 bytes: one block of HKDF-Expand (RFC 5869) with SHA-256; the key is random, and needs no extraction."""
    return hmac.digest(key, b"sealstream/1 audio " + label + stream_id.to_bytes(4, "big") + b"\x01", "sha256")


def _checked(key: bytes, salt: bytes) -> tuple[bytes, bytes]:
    if len(key) != KEY_BYTES or len(salt) != SALT_BYTES:
        raise LocalError(f"sound is sealed with a key of {KEY_BYTES} bytes and a salt of {SALT_BYTES}")
    return key, salt
