"""The sealed channel of an unlock: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedError, OpenError
from schemas.unlock_channel import (
    END,
    LAST,
    MAX_PIECE_BYTES,
    Channel,
    Offer,
    Released,
    Viewing,
    answer,
    derive_channel_keys,
    pieces,
    wipe,
)

SESSION = bytes(range(16))
VECTOR = json.loads((resources.files("schemas") / "vectors" / "unlock_channel.json").read_text("utf-8"))


def connected() -> tuple[Channel, Channel]:
    """The opener's and the viewer's ends."""
    offer = Offer(SESSION)
    public, viewer = answer(offer.public, SESSION)
    return offer.accept(public), viewer


def test_both_directions_carry_messages_in_order() -> None:
    """Each side opens what the other sealed, however often."""
    opener, viewer = connected()
    for number in range(3):
        assert opener.open(viewer.seal(b"passphrase %d" % number)) == b"passphrase %d" % number
        assert viewer.open(opener.seal(b"plaintext %d" % number)) == b"plaintext %d" % number


def test_a_message_cannot_be_left_out_repeated_or_turned_back() -> None:
    """A lost, repeated or reflected message does not open."""
    opener, viewer = connected()
    first, second = opener.seal(b"one"), opener.seal(b"two")
    with pytest.raises(OpenError):
        viewer.open(second)
    assert viewer.open(first) == b"one"
    with pytest.raises(OpenError):
        viewer.open(first)
    with pytest.raises(OpenError):
        opener.open(second)


@given(st.integers(0, 8 * 19 - 1))
def test_every_changed_bit_is_refused(bit: int) -> None:
    """No bit of a message can be changed."""
    opener, viewer = connected()
    sealed = bytearray(opener.seal(b"abc"))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(OpenError):
        viewer.open(bytes(sealed))


def test_the_channel_belongs_to_its_session_and_keys() -> None:
    """Another session, or another viewer's key, gives another channel."""
    offer = Offer(SESSION)
    public, _ = answer(offer.public, bytes(16))
    _, viewer = answer(offer.public, SESSION)
    with pytest.raises(OpenError):
        viewer.open(offer.accept(public).seal(b"secret"))


@pytest.mark.parametrize("key", [b"", bytes(65), b"\4" + bytes(64), b"\4" + b"\xff" * 64, bytes(33)])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    """Points that are not on the curve, and other bytes, are no public keys."""
    with pytest.raises(MalformedError):
        Offer(SESSION).accept(key)
    with pytest.raises(MalformedError):
        answer(key, SESSION)


@given(st.binary(max_size=1000), st.sampled_from([0, 1, MAX_PIECE_BYTES - 1, MAX_PIECE_BYTES, 3 * MAX_PIECE_BYTES]))
def test_a_segment_comes_whole_through_pieces_of_bounded_size(start: bytes, length: int) -> None:
    """Whatever its size, a segment comes out as it went in, and no message is over the limit."""
    opener, viewer = connected()
    viewing = Viewing(viewer)
    plaintext = (start + bytes(length))[: max(length, len(start))]
    messages = pieces({"stream": "email", "sequence": 7}, plaintext)
    assert all(len(message) <= MAX_PIECE_BYTES for message in messages)
    released = [viewing.take(opener.seal(message)) for message in messages]
    assert released[:-1] == [None] * (len(messages) - 1)
    assert released[-1] == Released({"stream": "email", "sequence": 7}, bytearray(plaintext))


def test_the_end_is_told_and_final() -> None:
    """The summary comes with the end; until then it is missing, and nothing may follow it."""
    opener, viewer = connected()
    viewing = Viewing(viewer)
    assert Viewing(viewer).summary is None
    viewing.take(opener.seal(bytes((END,)) + b'{"segments": 0}'))
    assert viewing.summary == {"segments": 0}
    with pytest.raises(MalformedError):
        viewing.take(opener.seal(bytes((END,)) + b"{}"))


@pytest.mark.parametrize("message", [b"", b"\x09abc", bytes((LAST,)) + b"\0\0\0\x09{}", bytes((LAST,)) + b"\0\0\0\1x"])
def test_malformed_messages_are_refused(message: bytes) -> None:
    """What no opener says is refused."""
    opener, viewer = connected()
    with pytest.raises(MalformedError):
        Viewing(viewer).take(opener.seal(message))


def test_wiping_leaves_nothing() -> None:
    """A wiped buffer is zeros, of the same length."""
    buffer = bytearray(b"secret")
    wipe(buffer)
    assert buffer == bytes(6)


@pytest.mark.parametrize("side", ["opener", "viewer"])
def test_the_vector_is_what_both_sides_derive(side: str) -> None:
    """For other implementations: keys from fixed private keys, messages, and what they mean."""
    taken = {name: bytes.fromhex(value) for name, value in VECTOR.items() if isinstance(value, str) and name != "about"}
    private = ec.derive_private_key(int.from_bytes(taken[f"{side}_private"], "big"), ec.SECP256R1())
    theirs = taken["viewer_public" if side == "opener" else "opener_public"]
    opener, viewer = taken["opener_public"], taken["viewer_public"]
    to_opener, to_viewer = derive_channel_keys(private, theirs, taken["session"], opener, viewer)
    assert (to_opener, to_viewer) == (taken["key_to_opener"], taken["key_to_viewer"])
    assert Channel(sending=to_opener, receiving=to_viewer).seal(taken["passphrase"]) == taken["sealed_passphrase"]
    viewing = Viewing(Channel(sending=to_opener, receiving=to_viewer))
    released = [viewing.take(bytes.fromhex(message["sealed"])) for message in VECTOR["messages"]]
    segment = VECTOR["segment"]
    assert released == [Released(segment["about"], bytearray.fromhex(segment["plaintext"])), None]
    assert viewing.summary == VECTOR["summary"]
