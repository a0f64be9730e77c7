"""Key sets: believed when a pinned signer signed them, and in no other case."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, LocalError, MalformedError
from schemas.keys import Identity, Recipient
from schemas.keyset import (
    MAX_AGENTS,
    MAX_PAYLOAD_BYTES,
    KeySet,
    SetKey,
    SignedKeySet,
    StreamKeys,
    parse_payload,
    sign_key_set,
    signer_fingerprint,
    signer_from_pem,
)
from schemas.kinds import StreamKind

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
SIGNER = Ed25519PrivateKey.generate()
PIN = signer_fingerprint(SIGNER.public_key())


@pytest.fixture(scope="module")
def recipient() -> Recipient:
    return Identity.generate(2048).recipient


@pytest.fixture(scope="module")
def key_set(recipient: Recipient) -> KeySet:
    """The email of one agent."""
    keys = {recipient.key_id: SetKey("officers", recipient)}
    streams = {"email": StreamKeys((recipient.key_id,), end_to_end=True, blind_index=False)}
    return KeySet(7, 1_700_000_000_000, keys, streams, (AGENT,), (PIN,))


def test_what_was_signed_comes_back(key_set: KeySet, recipient: Recipient) -> None:
    """Through JSON, with everything in it."""
    signed = SignedKeySet.from_json(json.loads(json.dumps(sign_key_set(key_set, SIGNER).to_json())))
    opened = signed.open({PIN})
    assert opened == key_set
    assert opened.bound == {"email"}
    assert opened.recipients(StreamKind.EMAIL) == (recipient,)
    assert opened.recipients(StreamKind.SCREEN) == ()
    assert opened.names("email") == ["officers"]


def test_a_signer_who_is_not_pinned_is_refused(key_set: KeySet) -> None:
    """Whatever the signature is worth."""
    with pytest.raises(MalformedError) as raised:
        sign_key_set(key_set, Ed25519PrivateKey.generate()).open({PIN})
    assert raised.value.reason == "wrong_signer"
    with pytest.raises(MalformedError):
        sign_key_set(key_set, SIGNER).open(set())


def test_every_change_is_noticed(key_set: KeySet) -> None:
    """Another KEK, another version, a bit of the signature, a signature for another use."""
    signed = sign_key_set(key_set, SIGNER)
    other = Identity.generate(2048).recipient
    swapped = replace(key_set, keys={other.key_id: SetKey("officers", other)}, streams={})
    for payload in (swapped.to_payload(), signed.payload.replace('"version":7', '"version":8'), signed.payload + " "):
        with pytest.raises(MalformedError) as raised:
            replace(signed, payload=payload).open({PIN})
        assert raised.value.reason == "bad_signature"
    bare = replace(signed, signature=SIGNER.sign(signed.payload.encode()))
    with pytest.raises(MalformedError, match="changed"):
        bare.open({PIN})


@pytest.mark.parametrize(
    "body", [None, [], {}, {"payload": 1}, {"payload": "{}", "signer": "zz", "signature": ""}, {"payload": "{}"}]
)
def test_what_is_unsigned_is_refused(body: Any) -> None:
    """Before anything in it is looked at."""
    with pytest.raises(MalformedError) as raised:
        SignedKeySet.from_json(body)
    assert raised.value.reason == "unsigned"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "sealstream-keyset-9"},
        {"version": -1},
        {"version": True},
        {"agents": ["not an id"]},
        {"agents": [AGENT] * (MAX_AGENTS + 1)},
        {"signers": ["00"]},
        {"streams": {"activity": {"recipients": [], "end_to_end": True, "blind_index": True}}},
        {"streams": {"email": {"recipients": [], "end_to_end": True, "blind_index": True}}},
        {"streams": {"email": {"recipients": ["00" * 32], "end_to_end": True, "blind_index": True}}},
        {"streams": {"email": {"recipients": [], "end_to_end": 1, "blind_index": True}}},
        {"keys": [{"name": "x", "pem": "junk", "break_glass": False}]},
        {"keys": None},
    ],
)
def test_forms_that_there_are_not(key_set: KeySet, change: dict[str, Any]) -> None:
    """A set is taken as a whole or refused as a whole."""
    body = json.loads(key_set.to_payload()) | change
    with pytest.raises(MalformedError):
        parse_payload(json.dumps(body))


@given(
    st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps)
)
def test_junk_is_refused_as_such(text: str) -> None:
    """No other error comes out of the parser."""
    with pytest.raises(MalformedError):
        parse_payload(text)


def test_what_only_looks_signed_is_refused(key_set: KeySet, recipient: Recipient) -> None:
    """Cut fields, too much text, a signer that is no point of the curve, even one that somebody pinned."""
    signed = sign_key_set(key_set, SIGNER)
    for point in (bytes(32), b"\xff" * 32, b"\x02" + bytes(31)):
        pin = signer_fingerprint(Ed25519PublicKey.from_public_bytes(point))
        with pytest.raises(MalformedError) as refused:
            replace(signed, signer=point).open({pin})
        assert refused.value.reason == "bad_signature"
    for change in ({"signer": "00"}, {"signature": "00"}):
        with pytest.raises(MalformedError, match="without payload"):
            SignedKeySet.from_json(signed.to_json() | change)
    for parse in (parse_payload, lambda text: SignedKeySet.from_json(signed.to_json() | {"payload": text})):
        with pytest.raises(MalformedError) as raised:
            parse(" " * (MAX_PAYLOAD_BYTES + 1))
        assert raised.value.reason == "too_large"
    assert signed.agents == (AGENT,)
    body = json.loads(key_set.to_payload())
    body["keys"][0]["name"] = "n" * 257
    with pytest.raises(MalformedError):
        parse_payload(json.dumps(body))
    with pytest.raises(MalformedError):
        parse_payload(key_set.to_payload().replace('"end_to_end":true', '"end_to_end":1'))
    with pytest.raises(LocalError, match="as it is"):
        sign_key_set(replace(key_set, agents=(AGENT.upper(),)), SIGNER)
    pem = SIGNER.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert signer_fingerprint(signer_from_pem(pem)) == PIN
    assert recipient.key_id in key_set.keys


def test_an_officer_cannot_sign_what_no_agent_would_take(key_set: KeySet) -> None:
    """Told before it is signed."""
    with pytest.raises(LocalError):
        sign_key_set(replace(key_set, agents=(AGENT,) * (MAX_AGENTS + 1)), SIGNER)
    with pytest.raises(LocalError):
        sign_key_set(replace(key_set, streams={"email": StreamKeys((bytes(32),))}), SIGNER)


def test_a_kek_is_no_signer(recipient: Recipient) -> None:
    """An RSA key, or junk, where a signer's public key is wanted."""
    with pytest.raises(ConfigError, match="Ed25519"):
        signer_from_pem(recipient.to_pem())
    with pytest.raises(ConfigError, match="PEM"):
        signer_from_pem(b"junk")
