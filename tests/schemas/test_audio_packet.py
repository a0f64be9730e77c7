"""Packets of sound: what is sealed opens once, and nothing else opens at all."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio_packet import HEADER, WINDOW, AudioOpener, AudioSealer, ReplayWindow, Suite
from schemas.errors import LocalError, MalformedError, OpenError
from tests.schemas.audio_vector_maker import make_vectors

VECTORS = Path(__file__).parents[2] / "schemas/vectors/audio_packet.json"
KEY, SALT = bytes(range(32)), bytes(range(12))
ROWS: list[dict[str, Any]] = json.loads(VECTORS.read_text("utf-8"))
both = pytest.mark.parametrize("suite", list(Suite))


def pair(suite: Suite) -> tuple[AudioSealer, AudioOpener]:
    return AudioSealer(suite, 7, KEY, SALT), AudioOpener(suite, 7, KEY, SALT)


def test_the_vectors_are_what_the_code_makes() -> None:
    """Byte for byte."""
    assert make_vectors() == ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['suite']} {row['name']}")
def test_each_vector_has_its_outcome(row: dict[str, Any]) -> None:
    """It opens to its body, or is refused for its reason."""
    key, salt, packet = (bytes.fromhex(row[name]) for name in ("key", "salt", "packet"))
    opener = AudioOpener(Suite(row["suite"]), row["stream_id"], key, salt)
    if row["outcome"] == "opens":
        assert opener.open(packet).body.hex() == row["body"]
    elif row["outcome"] == "does not open":
        with pytest.raises(OpenError):
            opener.open(packet)
    else:
        with pytest.raises(MalformedError) as caught:
            opener.open(packet)
        assert caught.value.reason == row["outcome"]


def test_blowfish_is_what_the_page_says() -> None:
    """Made again from its words, with OpenSSL's own counter mode replaced by plain blocks."""
    packet = pair(Suite.BLOWFISH_CTR_HMAC_SHA256)[0].seal(b"nineteen bytes here", 5)

    def expand(label: bytes) -> bytes:
        return hmac.digest(KEY, b"sealstream/1 audio " + label + (7).to_bytes(4, "big") + b"\1", "sha256")

    block = Cipher(Blowfish(expand(b"blowfish-ctr")), modes.ECB()).encryptor()
    stream = b"".join(
        block.update(bytes(a ^ b for a, b in zip(SALT, bytes([0] * 7 + [n]), strict=False))) for n in range(3)
    )
    body = bytes(a ^ b for a, b in zip(b"nineteen bytes here", stream, strict=False))
    header = packet[: HEADER.size]
    assert packet == header + body + hmac.digest(expand(b"hmac-sha256"), header + body, "sha256")[:16]


@both
def test_every_bit_counts(suite: Suite) -> None:
    """A packet with any bit turned is refused, and the true one still opens after all of them."""
    sealer, opener = pair(suite)
    packet = sealer.seal(b"a word", 1)
    for bit in range(len(packet) * 8):
        changed = bytearray(packet)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((OpenError, MalformedError)):
            opener.open(bytes(changed))
    assert opener.open(packet).body == b"a word"


@both
def test_a_packet_opens_once(suite: Suite) -> None:
    """The same again is a replay."""
    sealer, opener = pair(suite)
    packets = [sealer.seal(bytes([n]), n) for n in range(3)]
    for packet in (packets[2], packets[0], packets[1]):
        opener.open(packet)
    for packet in packets:
        with pytest.raises(MalformedError, match="before"):
            opener.open(packet)


@both
def test_a_forged_sequence_shuts_nobody_out(suite: Suite) -> None:
    """A packet far ahead that does not open leaves the window where it was."""
    sealer, opener = pair(suite)
    true = sealer.seal(b"true", 1)
    sealer.sequence = 1_000_000
    ahead = sealer.seal(b"ahead", 1)
    with pytest.raises(OpenError):
        opener.open(ahead[:-1] + bytes([ahead[-1] ^ 1]))
    assert opener.open(true).body == b"true"


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=200))
def test_the_window_is_a_set_of_the_last_ones(sequences: list[int]) -> None:
    """It takes what a set would that forgets what is too old."""
    window, taken = ReplayWindow(), set[int]()
    for sequence in sequences:
        may = sequence not in taken and sequence > max(taken, default=-1) - WINDOW
        assert window.may_take(sequence) is may
        if may:
            window.take(sequence)
            taken.add(sequence)


@given(st.binary(max_size=1300))
def test_junk_is_refused(junk: bytes) -> None:
    """Without another error."""
    with pytest.raises((OpenError, MalformedError)):
        pair(Suite.CHACHA20_POLY1305)[1].open(junk)


@both
def test_our_own_mistakes_are_local(suite: Suite) -> None:
    """Too long a body, a spent key, a key of another length."""
    sealer, _ = pair(suite)
    with pytest.raises(LocalError):
        sealer.seal(bytes(1201), 0)
    sealer.sequence = 1 << 32
    with pytest.raises(LocalError):
        sealer.seal(b"", 0)
    with pytest.raises(LocalError):
        AudioSealer(suite, 1, b"short", SALT)
