"""The key set of an agent: what a pinned signer said last stays, whatever a server tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.key_sets import KEY_SET, KeySets, load_signers, parse_signers, save_signers
from agent.keyring import Keyring
from agent.policy import Policy
from schemas.errors import ConfigError, MalformedError
from schemas.keys import Identity, Recipient
from schemas.keyset import KeySet, SetKey, StreamKeys, sign_key_set, signer_fingerprint
from schemas.kinds import StreamKind

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
OTHER = "00000000-0d3b-4f7e-9a53-0f2f7ab3a0d1"
ANN, BOB = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PINS = {name: signer_fingerprint(key.public_key()) for name, key in (("ann", ANN), ("bob", BOB))}

Told = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def recipients() -> tuple[Recipient, Recipient]:
    return Identity.generate(2048).recipient, Identity.generate(2048).recipient


@pytest.fixture
def told(recipients: tuple[Recipient, Recipient]) -> Told:
    """A signed key set as a server tells it."""

    def tell(
        version: int,
        *,
        key: int = 0,
        signer: Ed25519PrivateKey = ANN,
        agents: tuple[str, ...] = (AGENT,),
        signers: tuple[bytes, ...] = (),
        bound: bool = True,
    ) -> dict[str, Any]:
        recipient = recipients[key]
        keys = {recipient.key_id: SetKey(f"key-{key}", recipient)}
        streams = {"email": StreamKeys((recipient.key_id,), end_to_end=bound)}
        return sign_key_set(KeySet(version, 0, keys, streams, agents, signers), signer).to_json()

    return tell


@pytest.fixture
def sets(tmp_path: Path) -> KeySets:
    """An agent that pinned ann at its enrolment."""
    save_signers(tmp_path, [PINS["ann"]])
    return KeySets.load(AGENT, tmp_path)


def take(sets: KeySets, body: dict[str, Any]) -> None:
    checked = sets.check(body)
    if checked:
        sets.adopt(checked)


def refused(sets: KeySets, body: dict[str, Any]) -> str:
    with pytest.raises(MalformedError) as raised:
        take(sets, body)
    sets.refuse(raised.value)
    assert sets.problem
    return raised.value.reason


def test_a_signed_set_is_taken_and_kept(sets: KeySets, told: Told, tmp_path: Path) -> None:
    """Also for the next start, without the server."""
    take(sets, told(3))
    again = KeySets.load(AGENT, tmp_path)
    assert again.current == sets.current
    assert again.current
    assert again.current.version == 3
    assert again.bound == {"email"}


def test_a_swapped_kek_is_refused_and_the_last_good_set_stays(
    sets: KeySets, told: Told, recipients: tuple[Recipient, Recipient]
) -> None:
    """A server that puts its own KEK into a set has no signature for it; nor has its own signer a pin."""
    take(sets, told(3))
    forged = told(4, key=1) | {"signature": told(4)["signature"]}
    assert refused(sets, forged) == "bad_signature"
    assert refused(sets, told(5, key=1, signer=BOB)) == "wrong_signer"
    assert refused(sets, {"payload": told(6)["payload"]}) == "unsigned"
    assert sets.recipients(StreamKind.EMAIL) == recipients[:1]


def test_there_is_no_way_back_to_an_older_set(sets: KeySets, told: Told) -> None:
    """Nor a second set of the same version."""
    take(sets, told(3))
    assert refused(sets, told(2, key=1)) == "older"
    assert refused(sets, told(3, key=1)) == "forked"
    take(sets, told(3))
    assert sets.problem == ""


def test_a_set_for_others_is_refused(sets: KeySets, told: Told) -> None:
    """A weaker set of another agent, or the one for agents that nobody named once this one was named."""
    take(sets, told(3, agents=()))
    take(sets, told(4))
    assert refused(sets, told(5, agents=(OTHER,))) == "not_for_us"
    assert refused(sets, told(5, agents=())) == "not_for_us"


def test_a_server_that_tells_nothing_changes_nothing(sets: KeySets, told: Told) -> None:
    """It cannot take a set away."""
    take(sets, told(3))
    assert sets.check({}) is None
    assert sets.bound == {"email"}


def test_without_a_pinned_signer_nothing_is_taken(tmp_path: Path, told: Told) -> None:
    """Trust does not come with the first set that a server tells."""
    sets = KeySets.load(AGENT, tmp_path)
    assert sets.check(told(3)) is None
    assert sets.current is None


def test_signers_hand_over(sets: KeySets, told: Told, tmp_path: Path) -> None:
    """A pinned signer names who is trusted from then on; also after a restart, and the first one no more."""
    take(sets, told(3, signers=(PINS["bob"],)))
    assert refused(sets, told(4)) == "wrong_signer"
    take(sets, told(5, signer=BOB, key=1))
    again = KeySets.load(AGENT, tmp_path)
    assert again.signers == {PINS["bob"]}
    assert refused(again, told(6)) == "wrong_signer"


def test_a_changed_file_is_not_believed(sets: KeySets, told: Told, tmp_path: Path) -> None:
    """What is kept is verified again when it is read."""
    take(sets, told(3))
    path = tmp_path / KEY_SET
    path.write_text(path.read_text().replace("key-0", "key-1"))
    with pytest.raises(ConfigError, match="enrol again"):
        KeySets.load(AGENT, tmp_path)


def test_a_new_enrolment_forgets_what_others_signed(sets: KeySets, told: Told, tmp_path: Path) -> None:
    """Pins come with the token, and replace those before."""
    take(sets, told(3))
    save_signers(tmp_path, [PINS["bob"]])
    assert KeySets.load(AGENT, tmp_path).current is None
    assert load_signers(tmp_path) == {PINS["bob"]}
    save_signers(tmp_path, [])
    assert load_signers(tmp_path) == frozenset()
    with pytest.raises(ValueError, match="64 hex"):
        parse_signers(["00"])


def test_a_bound_stream_is_sealed_to_the_officers_whatever_the_policy_says(
    sets: KeySets, told: Told, recipients: tuple[Recipient, Recipient], tmp_path: Path
) -> None:
    """The server cannot have it back by another policy; what the set does not speak of stays with the policy."""
    keyring = Keyring([recipients[1]], tmp_path / "absent.pem", sets)
    assert not keyring.audience(StreamKind.EMAIL, Policy()).end_to_end
    take(sets, told(3))
    audience = keyring.audience(StreamKind.EMAIL, Policy())
    assert audience == (recipients[:1], True)
    assert not keyring.audience(StreamKind.ACTIVITY, Policy()).end_to_end
    with pytest.raises(ConfigError, match="absent"):
        keyring.audience(StreamKind.SCREEN, Policy(end_to_end=frozenset({"screen"})))


def test_an_unbound_stream_follows_the_policy(
    sets: KeySets, told: Told, recipients: tuple[Recipient, Recipient], tmp_path: Path
) -> None:
    """Its KEKs are ready for when the policy seals it end to end."""
    take(sets, told(3, bound=False))
    keyring = Keyring([recipients[1]], tmp_path / "absent.pem", sets)
    assert not keyring.audience(StreamKind.EMAIL, Policy()).end_to_end
    sealed = keyring.audience(StreamKind.EMAIL, Policy(end_to_end=frozenset({"email"})))
    assert sealed == (recipients[:1], True)


def test_officers_decide_on_the_blind_index(sets: KeySets, told: Told) -> None:
    """Streams that no set speaks of are the policy's matter."""
    assert sets.may_index(StreamKind.EMAIL)
    take(sets, told(3))
    assert sets.current
    row = replace(sets.current.streams["email"], blind_index=False)
    off = replace(sets.current, version=4, streams={"email": row})
    take(sets, sign_key_set(off, ANN).to_json())
    assert not sets.may_index(StreamKind.EMAIL)
    assert sets.may_index(StreamKind.SCREEN)
