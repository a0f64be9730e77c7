"""Enrolment: a token is worth its uses and no more, whatever happens between."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.enrol import EnrolmentRequest, TokenStore, make_token
from infra.keys.signer import make_signer
from infra.pki import ca_fingerprint
from infra.pki.revocations import Revocations
from infra.pki.tokens import Token, hash_secret
from infra.settings import GatewaySettings, NodeSettings, Settings
from schemas.enrolment import PREFIX, EnrolmentToken
from schemas.errors import ConfigError, MalformedError, UnavailableError
from schemas.keys import Identity
from tests.gateway.site import open_site


class Clock:
    """A wall clock that stands where it is put."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_token_is_worth_its_uses(tmp_path: Path, clock: Clock) -> None:
    """Two uses are two, also over a restart."""
    TokenStore(tmp_path, clock).add("secret", uses=2, expires_s=60)
    assert [TokenStore(tmp_path, clock).spend("secret") for _ in range(3)] == [True, True, False]


def test_a_token_expires(tmp_path: Path, clock: Clock) -> None:
    """After its time it is worth nothing, and is forgotten."""
    store = TokenStore(tmp_path, clock)
    store.add("secret", uses=9, expires_s=60)
    clock.now_ms += 60_000
    assert not store.spend("secret")
    assert b"secret_hash" not in (tmp_path / "tokens.json").read_bytes()


def test_the_secret_is_not_kept(tmp_path: Path, clock: Clock) -> None:
    """Who reads the file can enrol nobody; and only its owner reads it."""
    TokenStore(tmp_path, clock).add("the-secret", uses=1, expires_s=60)
    file = tmp_path / "tokens.json"
    assert b"the-secret" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


def test_one_use_is_spent_once_by_many(tmp_path: Path, clock: Clock) -> None:
    """However many ask at the same time, one gets it."""
    TokenStore(tmp_path, clock).add("secret", uses=1, expires_s=60)
    with ThreadPoolExecutor(8) as pool:
        spent = list(pool.map(lambda _: TokenStore(tmp_path, clock).spend("secret"), range(24)))
    assert sum(spent) == 1


def test_a_damaged_file_stops_and_says_so(tmp_path: Path, clock: Clock) -> None:
    """It is not taken for an empty one."""
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokens\.json"):
        TokenStore(tmp_path, clock).spend("secret")


def test_make_token_says_where_and_whom(tmp_path: Path, pki: Path) -> None:
    """The text names server and CA; its secret can be spent."""
    settings = Settings(
        node=NodeSettings(data_dir=tmp_path, advertise="monitor.example.org"),
        gateway=GatewaySettings(ca_file=pki / "ca.pem", https_port=8443),
    )
    token = EnrolmentToken.parse(make_token(settings, uses=1, expires_s=60))
    assert token.server == "monitor.example.org:8443"
    assert token.fingerprint == ca_fingerprint((pki / "ca.pem").read_bytes())
    assert TokenStore(tmp_path / "enrol").spend(token.secret)
    assert token.signers == ()
    signer = make_signer(settings.keys.dir, "ann", b"an officer's passphrase", tmp_path / "stick")
    token = EnrolmentToken.parse(make_token(settings, uses=1, expires_s=60))
    assert token.signers == (signer.key_id,)


@pytest.mark.parametrize("signers", [["00"], ["zz"], [1], 7])
def test_a_token_with_strange_signers_is_refused(signers: object) -> None:
    """Whole, or not at all."""
    token = str(EnrolmentToken("monitor.example.org:8443", bytes(32), "secret"))
    body = json.loads(base64.urlsafe_b64decode(token.removeprefix(PREFIX) + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(body | {"signers": signers}).encode()).decode().rstrip("=")
    with pytest.raises(MalformedError, match="cut or mistyped"):
        EnrolmentToken.parse(PREFIX + changed)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"secret": 1, "csr": "x"}', b'{"csr": "x"}', b"[" * 9999])
def test_a_request_of_another_form_is_refused(body: bytes) -> None:
    """Whatever is sent, it is one error."""
    with pytest.raises(MalformedError):
        EnrolmentRequest.parse(body)


def test_revocations_are_kept_and_read_again(tmp_path: Path) -> None:
    """Another process's revocation is seen at the next look."""
    agent = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
    ours, theirs = Revocations(tmp_path), Revocations(tmp_path)
    theirs.add(agent.upper())
    assert agent not in ours
    assert ours.reload()
    assert agent in ours
    assert not ours.reload()
    with pytest.raises(MalformedError):
        theirs.add("nobody")


def test_tokens_are_handed_over_whole_or_not_at_all(tmp_path: Path, clock: Clock) -> None:
    """A table that fails leaves the file as it was; one that took them has them alone; none is lost in between."""
    store = TokenStore(tmp_path, clock)
    store.add("one", uses=2, expires_s=60)
    store.add("two", uses=1, expires_s=60)
    assert store.spend("one")

    def fail(_: list[Token]) -> None:
        raise UnavailableError("away")

    with pytest.raises(UnavailableError):
        store.move(fail)
    assert not store.moved
    taken: list[Token] = []
    assert store.move(taken.extend) == 2
    assert {(token.secret_hash, token.uses) for token in taken} == {(hash_secret("one"), 1), (hash_secret("two"), 1)}
    assert (store.moved, store.to_move) == (True, False)
    assert not store.spend("two")
    TokenStore(tmp_path, clock).add("late", uses=1, expires_s=60)  # by a process that looked before they were taken
    assert store.to_move
    assert store.move(taken.extend) == 1


def test_a_token_waits_for_nobody_while_it_is_handed_over(tmp_path: Path, clock: Clock) -> None:
    """Who spends at that moment gets the use from the file before, or finds it gone to the table: never both."""
    TokenStore(tmp_path, clock).add("secret", uses=8, expires_s=60)
    taken: list[Token] = []
    with ThreadPoolExecutor(9) as pool:
        spending = [pool.submit(TokenStore(tmp_path, clock).spend, "secret") for _ in range(6)]
        moving = pool.submit(TokenStore(tmp_path, clock).move, taken.extend)
        moving.result()
    assert sum(spent.result() for spent in spending) + sum(token.uses for token in taken) == 8


async def test_while_the_tables_are_away_nobody_enrols_and_no_use_is_lost(
    tmp_path: Path, pki: Path, identity: Identity
) -> None:
    """503, not 403: the agent may try again, and is not counted as one who guesses."""
    async with open_site(tmp_path, pki, identity) as site:
        secret = site.secret()
        (tmp_path / "enrol" / "in-database").touch()
        for _ in range(12):
            assert (await site.enrol(secret)).status_code == 503
        (tmp_path / "enrol" / "in-database").unlink()
        assert (await site.enrol(secret)).status_code == 200
