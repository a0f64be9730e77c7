"""Envelopes open for their recipients, and for nothing and nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import MAX_RECIPIENTS, RECORD_HEADER_BYTES, TAG_BYTES, Peeker, peek
from schemas.errors import ConfigError, LocalError, MalformedError, OpenError
from schemas.keys import Identity, Recipient
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Chain, Opener, PartJoiner, max_part_bytes, rewrap, verify_signature
from schemas.seal import Epoch, split_segment
from tests.schemas.vector_maker import AGENT, CREATED_MS, SEGMENT, KnownKey, begin, flip, make_vectors

VECTORS = json.loads((Path(__file__).parents[2] / "schemas/vectors/envelope.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate(2048)


def seal_one(recipient: Recipient, segment: bytes = SEGMENT, **options: object) -> bytes:
    epoch = Epoch.begin(agent_id=AGENT, kind=StreamKind.SCREEN, recipients=[recipient], created_ms=CREATED_MS)
    return epoch.seal(segment, capture_ms=CREATED_MS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict) -> None:
    """Each vector has the outcome that it names."""
    keys = [KnownKey(*(bytes.fromhex(row[f]) for f in ("key_id", "wrapped", "dek"))) for row in vector["unwraps"]]
    envelope = bytes.fromhex(vector["envelope"])
    if vector["outcome"] == "malformed":
        with pytest.raises(MalformedError) as caught:
            Opener(keys).open(envelope)
        assert caught.value.reason == vector["reason"]
        return
    if vector["outcome"] == "does not open":
        with pytest.raises(OpenError):
            Opener(keys).open(envelope)
        return
    opened = Opener(keys).open(envelope)
    assert opened.plaintext.hex() == vector["plaintext"]
    assert opened.record.kind.label == vector["stream"]
    assert opened.id == (AGENT, opened.epoch.epoch_id, vector["sequence"])
    assert opened.epoch.end_to_end is vector["end_to_end"]
    assert opened.record.final is vector["final"]
    assert opened.record.more_parts is vector["more_parts"]
    assert opened.record.content_type == ContentType.SEGMENT


def test_vectors_are_as_made() -> None:
    """The file is what the maker makes: nobody edited either alone."""
    assert make_vectors() == VECTORS


def test_every_single_bit_change_is_refused() -> None:
    """No bit of an envelope can change without its being malformed or not opening."""
    epoch, keys = begin("bits")
    envelope = epoch.seal(b"secret", capture_ms=CREATED_MS)
    opener = Opener(keys)
    assert opener.open(envelope).plaintext == b"secret"
    for at in range(len(envelope)):
        for bit in range(8):
            changed = bytearray(envelope)
            changed[at] ^= 1 << bit
            with pytest.raises((MalformedError, OpenError)):
                opener.open(bytes(changed))


def test_every_truncation_is_refused() -> None:
    """No prefix of an envelope opens."""
    epoch, keys = begin("cuts")
    envelope = epoch.seal(b"secret", capture_ms=CREATED_MS)
    for end in range(len(envelope)):
        with pytest.raises(MalformedError):
            Opener(keys).open(envelope[:end])


@given(st.binary(max_size=600))
def test_junk_is_malformed(junk: bytes) -> None:
    """Whatever is not an envelope is malformed, never another error."""
    with pytest.raises(MalformedError):
        peek(junk)


@settings(max_examples=50)
@given(st.binary(max_size=5000), st.sampled_from([0, 1, 64, 256]))
def test_seal_and_open_are_mirror_images(segment: bytes, pad_to: int) -> None:
    """What was sealed is what opens, padded or not, and padding hides the length."""
    epoch, keys = begin("mirror")
    envelope = epoch.seal(segment, capture_ms=1, pad_to=pad_to)
    assert Opener(keys).open(envelope).plaintext == segment
    if pad_to:
        assert peek(envelope).record.length % pad_to == 0


def test_real_keys(identity: Identity) -> None:
    """RSA-2048 and RSA-3072 recipients open; a stranger's identity does not."""
    larger, stranger = Identity.generate(), Identity.generate(2048)
    epoch = Epoch.begin(
        agent_id=AGENT,
        kind=StreamKind.EMAIL,
        recipients=[identity.recipient, larger.recipient],
        created_ms=CREATED_MS,
    )
    envelope = epoch.seal(SEGMENT, capture_ms=CREATED_MS)
    for one in (identity, larger):
        assert Opener([one]).open(envelope).plaintext == SEGMENT
    assert not Opener([stranger]).can_open(peek(envelope).epoch)
    with pytest.raises(OpenError):
        Opener([stranger]).open(envelope)


def test_identity_pem(identity: Identity) -> None:
    """A private PEM needs its own passphrase, and says so clearly."""
    pem = identity.to_pem(b"correct")
    assert Identity.from_pem(pem, b"correct").key_id == identity.key_id
    with pytest.raises(ConfigError, match="passphrase is wrong"):
        Identity.from_pem(pem, b"wrong")
    with pytest.raises(ConfigError, match="needs a passphrase"):
        Identity.from_pem(pem)
    with pytest.raises(ConfigError, match="PEM"):
        Identity.from_pem(b"junk")


def test_recipient_pem(identity: Identity) -> None:
    """A public PEM makes a round trip; short keys, other keys and junk are refused."""
    assert Recipient.from_pem(identity.recipient.to_pem()).key_id == identity.key_id
    with pytest.raises(ConfigError, match="PEM"):
        Recipient.from_pem(b"junk")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    def public_pem(key: object) -> bytes:
        return key.public_key().public_bytes(  # type: ignore[attr-defined,no-any-return]
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    with pytest.raises(ConfigError, match="at least 2048"):
        Recipient.from_pem(public_pem(rsa.generate_private_key(65537, 1024)))
    curve = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ConfigError, match="RSA"):
        Recipient.from_pem(public_pem(curve))
    private = curve.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ConfigError, match="RSA"):
        Identity.from_pem(private)
    plain = identity.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ConfigError, match="not protected"):
        Identity.from_pem(plain, b"passphrase")


def test_a_wrapped_key_of_another_length_does_not_open(identity: Identity) -> None:
    """What unwraps to something that is not a DEK is refused."""
    with pytest.raises(OpenError):
        identity.unwrap(identity.recipient.wrap(b"short"))
    with pytest.raises(OpenError):
        identity.unwrap(b"junk")


def test_rewrap_needs_no_record(identity: Identity) -> None:
    """Who can open can wrap the DEK for another KEK; the records open under it unchanged, signature and all."""
    new = Identity.generate(2048)
    signing = Ed25519PrivateKey.generate()
    epoch = Epoch.begin(
        agent_id=AGENT,
        kind=StreamKind.SCREEN,
        recipients=[identity.recipient],
        created_ms=CREATED_MS,
        signing_key=signing,
    )
    envelope = epoch.seal(SEGMENT, capture_ms=CREATED_MS)
    header = rewrap(epoch.header, identity, [new.recipient])
    moved = header + envelope[len(epoch.header) :]
    assert Opener([new]).open(moved).plaintext == SEGMENT
    verify_signature(peek(moved).epoch, signing.public_key())
    with pytest.raises(OpenError):
        Opener([identity]).open(moved)
    with pytest.raises(OpenError):
        rewrap(epoch.header, new, [new.recipient])
    with pytest.raises(OpenError):
        verify_signature(peek(moved).epoch, Ed25519PrivateKey.generate().public_key())


def test_opener_forgets_no_correctness(identity: Identity) -> None:
    """A cache of one epoch opens many epochs in any order, and never takes one header for another's."""
    epochs = [
        Epoch.begin(agent_id=AGENT, kind=StreamKind.SCREEN, recipients=[identity.recipient], created_ms=n)
        for n in range(3)
    ]
    opener = Opener([identity], cache_size=1)
    envelopes = [epoch.seal(bytes([n]) * 10, capture_ms=n) for n, epoch in enumerate(epochs)]
    for n in (0, 1, 2, 1, 0):
        assert opener.open(envelopes[n]).plaintext == bytes([n]) * 10
    with pytest.raises(OpenError):
        opener.open(flip(envelopes[0], len(epochs[0].header) - 1))


def test_peeker_equals_peek(identity: Identity) -> None:
    """The peeker sees what peek sees, also when a header is changed under a known epoch id."""
    peeker = Peeker(cache_size=1)
    first, second = seal_one(identity.recipient), seal_one(identity.recipient)
    for envelope in (first, second, first, flip(first, 100), first):
        assert peeker.peek(envelope) == peek(envelope)


def test_epoch_rules(identity: Identity) -> None:
    """Recipients are bounded and unique; a final record ends the epoch."""
    recipient = identity.recipient
    for recipients in ([], [recipient, recipient], [recipient] * (MAX_RECIPIENTS + 1)):
        with pytest.raises(LocalError, match="recipients"):
            Epoch.begin(agent_id=AGENT, kind=StreamKind.SCREEN, recipients=recipients, created_ms=0)
    epoch, _ = begin("rules")
    epoch.seal(b"last", capture_ms=0, final=True)
    assert epoch.spent
    with pytest.raises(LocalError, match="over"):
        epoch.seal(b"after", capture_ms=0)


def test_nonces_differ() -> None:
    """No two records of an epoch share a nonce, whatever the entropy does."""
    epoch, _ = begin("nonces")
    nonces = set()
    for _ in range(100):
        envelope = epoch.seal(b"x", capture_ms=0)
        at = peek(envelope).record_at
        nonces.add(envelope[at + 4 : at + 16])
    assert len(nonces) == 100


def sealed_parts(sizes: list[int]) -> tuple[list[bytes], list[KnownKey]]:
    epoch, keys = begin("parts")
    last = len(sizes) - 1
    return [epoch.seal(bytes(size), capture_ms=0, more_parts=n != last) for n, size in enumerate(sizes)], keys


def test_parts_join() -> None:
    """A split segment comes back whole under the identity of its first part, also when a part comes twice."""
    segment = bytes(range(256)) * 40
    epoch, keys = begin("join")
    parts = split_segment(segment, 1000)
    assert len(parts) == 11
    envelopes = [epoch.seal(part, capture_ms=0, more_parts=n < 10) for n, part in enumerate(parts)]
    opener, joiner = Opener(keys), PartJoiner()
    results = [joiner.add(opener.open(e)) for e in [*envelopes[:5], envelopes[4], envelopes[0], *envelopes[5:]]]
    assert [r for r in results[:-1] if r] == []
    assert results[-1] is not None
    assert results[-1].plaintext == segment
    assert results[-1].id.sequence == 0
    assert joiner.first_open_ids == ()


def test_a_missing_part_is_told() -> None:
    """A hole between parts is an error, and the next whole segment is not hurt by it."""
    envelopes, keys = sealed_parts([10, 10, 10])
    opener, joiner = Opener(keys), PartJoiner()
    joiner.add(opener.open(envelopes[0]))
    assert joiner.first_open_ids[0].sequence == 0
    with pytest.raises(MalformedError, match="missing"):
        joiner.add(opener.open(envelopes[2]))
    assert joiner.first_open_ids == ()


def test_joined_segments_are_bounded() -> None:
    """Parts without end cannot fill the memory."""
    envelopes, keys = sealed_parts([60, 60, 60])
    opener, joiner = Opener(keys), PartJoiner(max_bytes=100)
    joiner.add(opener.open(envelopes[0]))
    with pytest.raises(MalformedError, match="larger"):
        joiner.add(opener.open(envelopes[1]))


def test_split_of_nothing_is_one_part() -> None:
    """An empty segment is still a segment."""
    assert split_segment(b"", 10) == [b""]


def test_part_size_fills_an_envelope() -> None:
    """The largest part makes an envelope of exactly the limit."""
    epoch, _ = begin("size")
    room = max_part_bytes(4096, epoch.header)
    assert len(epoch.seal(bytes(room), capture_ms=0)) == 4096
    with pytest.raises(LocalError):
        max_part_bytes(len(epoch.header) + RECORD_HEADER_BYTES + TAG_BYTES, epoch.header)


def test_chain() -> None:
    """Loss, repetition and forks show; an unbroken epoch passes."""
    epoch, _ = begin("chain")
    envelopes = [epoch.seal(bytes([n]), capture_ms=n) for n in range(5)]
    fork, _ = begin("chain")
    fork.seal(b"other", capture_ms=0)
    forked = fork.seal(b"other", capture_ms=1)

    def check(*order: bytes) -> str:
        chain = Chain()
        for envelope in order:
            try:
                chain.check(peek(envelope), envelope)
            except MalformedError as error:
                return error.reason
        return "whole"

    assert check(*envelopes) == "whole"
    assert check(envelopes[0], envelopes[2]) == "lost"
    assert check(envelopes[1]) == "lost"
    assert check(envelopes[0], envelopes[0]) == "repeated"
    assert check(envelopes[0], envelopes[1], envelopes[0]) == "repeated"
    assert check(envelopes[0], forked) == "forked"


def test_links_differ_with_what_was_sealed() -> None:
    """An epoch's link covers its last record: a truncated epoch does not link to the next."""
    epoch, _ = begin("link")
    before = epoch.link
    epoch.seal(b"x", capture_ms=0)
    assert epoch.link != before
    assert len(epoch.link) == 32
