"""The policy and the KEKs that agents are told: read again when they change, never replaced by what is unusable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.policy import Policy
from gateway.policy import DEFAULT_POLICY, PolicyFiles, read_policy, read_recipients
from infra.keys.registry import Purpose, Registered, State, save_copy
from infra.keys.signed_sets import SETS_NAME, save_sets
from schemas.errors import ConfigError
from schemas.keys import Identity
from schemas.keyset import KeySet, sign_key_set

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"


@pytest.fixture
def files(tmp_path: Path, identity: Identity) -> tuple[Path, Path]:
    policy, keys = tmp_path / "policy.json", tmp_path / "keys"
    keys.mkdir()
    policy.write_text(json.dumps({"version": 3, "streams": ["screen"]}))
    (keys / "server.pub.pem").write_bytes(identity.recipient.to_pem())
    return policy, keys


def _touch(path: Path, text: str) -> None:
    path.write_text(text)
    later = path.stat().st_mtime_ns + 10_000_000
    os.utime(path, ns=(later, later))


def test_it_says_what_the_files_say(files: tuple[Path, Path], identity: Identity) -> None:
    """Policy and recipients as `Welcome` carries them."""
    told = PolicyFiles(*files).told
    assert told.policy == {"version": 3, "streams": ["screen"]}
    assert told.recipients == [identity.recipient.to_pem().decode()]


def test_a_change_is_seen_once(files: tuple[Path, Path]) -> None:
    """An edit is told; a look without one is not."""
    policy = PolicyFiles(*files)
    assert not policy.reload()
    _touch(files[0], json.dumps({"version": 4, "streams": []}))
    assert policy.reload()
    assert policy.told.policy["streams"] == []
    assert not policy.reload()


def test_a_new_kek_is_told(files: tuple[Path, Path]) -> None:
    """A public key that is put into the directory is a recipient at the next look."""
    policy = PolicyFiles(*files)
    (files[1] / "second.pub.pem").write_bytes(Identity.generate(2048).recipient.to_pem())
    assert policy.reload()
    assert len(policy.told.recipients) == 2


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"streams": ["video"]}', '{"stream": []}', '{"paused": 1}', '{"version": true}']
)
def test_what_is_unusable_changes_nothing(files: tuple[Path, Path], text: str) -> None:
    """A mistyped policy is refused at start, and while running leaves the one before."""
    policy = PolicyFiles(*files)
    _touch(files[0], text)
    assert not policy.reload()
    assert policy.told.policy["version"] == 3
    with pytest.raises(ConfigError, match=r"policy\.json"):
        read_policy(files[0])


def test_toml_is_read_too(tmp_path: Path) -> None:
    """By the file's suffix; without `version` the file's time is it."""
    file = tmp_path / "policy.toml"
    file.write_text('streams = ["email"]\n')
    assert read_policy(file) == {"version": file.stat().st_mtime_ns // 1_000_000, "streams": ["email"]}


def test_the_default_is_one_that_agents_take(tmp_path: Path) -> None:
    """What a new installation says is a policy by the agent's own reading."""
    policy = Policy.from_json(read_policy(tmp_path / "none.json"))
    assert policy.streams == frozenset(DEFAULT_POLICY["streams"])


def test_a_private_key_is_no_recipient(tmp_path: Path, identity: Identity) -> None:
    """A file that is not a public key is named, and nothing is told."""
    (tmp_path / "x.pub.pem").write_bytes(identity.to_pem(b"secret"))
    with pytest.raises(ConfigError, match=r"x\.pub\.pem"):
        read_recipients(tmp_path)


def test_registered_keks_of_the_server_are_told_and_no_others(files: tuple[Path, Path], identity: Identity) -> None:
    """Not those of officers, not those that only open, not what merely lies there; a missing file is left out."""
    policy_file, keys = files
    policy = PolicyFiles(policy_file, keys)
    for name in ("next", "officers", "old", "stray"):
        (keys / f"{name}.pub.pem").write_bytes(Identity.generate(2048).recipient.to_pem())
    save_copy(
        keys,
        [
            Registered("server.pub.pem", purpose=Purpose.SERVER),
            Registered("officers.pub.pem"),
            Registered("old.pub.pem", purpose=Purpose.SERVER, state=State.OPENING),
            Registered("next.pub.pem", purpose=Purpose.SERVER),
            Registered("elsewhere.pub.pem", purpose=Purpose.SERVER),
        ],
    )
    assert policy.reload()
    assert policy.told.recipients == [(keys / f"{name}.pub.pem").read_text() for name in ("server", "next")]
    assert policy.told.recipients[0] == identity.recipient.to_pem().decode()


def test_each_agent_is_told_its_own_key_set(files: tuple[Path, Path], identity: Identity) -> None:
    """As the officer signed it; those whom no set names get the one for all; junk in the table is left out."""
    policy = PolicyFiles(*files)
    assert policy.told.frame(AGENT).key_set == {}
    signer = Ed25519PrivateKey.generate()
    sets = [sign_key_set(KeySet(1, 0, {}, {}, agents), signer).to_json() for agents in ((), (AGENT,))]
    save_sets(files[1], [*sets, {"payload": "junk"}, {**sets[0], "payload": "{}"}])
    assert policy.reload()
    assert policy.told.frame(AGENT).key_set == sets[1]
    assert policy.told.key_set_for("another") == sets[0]
    _touch(files[1] / SETS_NAME, "junk")
    assert not policy.reload()
    assert policy.told.frame(AGENT).key_set == sets[1]
