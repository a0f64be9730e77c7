"""What proves who somebody is, without a database: passwords, codes by the clock, sealed challenges."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.accounts import passwords, totp
from gateway.accounts.passwords import Passwords, check_strength, prepared
from gateway.accounts.sealing import AccountKey, NotOursError, hash_of, make_secret
from gateway.api.errors import ApiError
from schemas.errors import ConfigError, MalformedError

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""Of RFC 6238, in base 32."""


@pytest.mark.parametrize(("now_s", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_codes_are_those_of_the_rfc(now_s: int, code: str) -> None:
    """The last six digits of RFC 6238's table; spaces between them do not matter."""
    assert totp.matching_step(RFC_SECRET, code, now_s) == now_s // 30
    assert totp.matching_step(RFC_SECRET, f" {code[:3]} {code[3:]} ", now_s) == now_s // 30


def test_clocks_may_differ_by_a_step_and_no_more() -> None:
    """One before, one after."""
    code = "287082"
    steps = {now_s: totp.matching_step(RFC_SECRET, code, now_s) for now_s in (30, 59, 60, 89, 90)}
    assert steps == {30: 1, 59: 1, 60: 1, 89: 1, 90: None}
    assert totp.matching_step(RFC_SECRET, totp.pyotp.TOTP(RFC_SECRET).generate_otp(5), 4 * 30) == 5
    assert totp.matching_step(RFC_SECRET, totp.pyotp.TOTP(RFC_SECRET).generate_otp(6), 4 * 30) is None


@pytest.mark.parametrize("code", ["", "28708", "2870820", "\N{ARABIC-INDIC DIGIT TWO}87082", "abcdef", "287082x"])
def test_what_is_no_code_is_refused(code: str) -> None:
    """Whatever was typed."""
    assert totp.matching_step(RFC_SECRET, code, 59) is None


def test_recovery_codes_are_read_as_people_type_them() -> None:
    """Large or small letters, with or without the dash."""
    from uuid import UUID

    code = totp.make_recovery_codes()[0]
    wanted = totp._code_hash(UUID(int=1), code)
    for typed in (code.upper(), code.replace("-", ""), f" {code.replace('-', ' ')} "):
        assert totp._code_hash(UUID(int=1), typed) == wanted
    assert totp._code_hash(UUID(int=2), code) != wanted
    assert totp.looks_like_recovery_code(code)
    assert not totp.looks_like_recovery_code("123 456")


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "aaaaaaaaaaaaaaaa",
        "123456789012345",
        "9876543210987",
        "password1234",
        "QwertyQwerty12",
        "sealstream-admin-1",
        "annannannann1",
        "x" * 257,
        "................",
    ],
)
def test_weak_passwords_are_refused_with_a_reason(password: str) -> None:
    """Too short, too long, a run, repeated, or nothing but what is guessed first."""
    with pytest.raises(MalformedError) as caught:
        check_strength(password, name="ann")
    assert caught.value.reason == "weak_password"


@pytest.mark.parametrize("password", ["wandering-heron-41", "correct horse battery", "пароль из слов", "aaaabcdefgh1!"])
def test_a_few_words_do_well(password: str) -> None:
    """No rule asks for digits or capitals."""
    check_strength(password, name="ann")


async def test_a_password_matches_its_hash_alone() -> None:
    """In whichever way it is typed; nothing kept matches nothing."""
    hasher = Passwords()
    kept = await hasher.hash("mu\N{COMBINING DIAERESIS}de heron 41")
    assert kept.startswith("$argon2id$")
    assert await hasher.matches(kept, "m\N{LATIN SMALL LETTER U WITH DIAERESIS}de heron 41")
    assert not await hasher.matches(kept, "muede heron 41")
    assert not await hasher.matches(None, "the password of nobody")
    assert not await hasher.matches("damaged", "x")
    assert not passwords.outdated(kept)
    assert prepared("\N{LATIN SMALL LIGATURE FI}") == "fi"
    hasher.close()


async def test_too_many_at_once_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than waiting for ever: memory and cores are bounded."""
    monkeypatch.setattr(passwords, "MAX_WAITING", 2)
    hasher = Passwords(1)
    waiting = [asyncio.create_task(hasher.matches(None, "x")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as caught:
        await hasher.matches(None, "x")
    assert (caught.value.status, caught.value.word) == (503, "busy")
    await asyncio.gather(*waiting)
    hasher.close()


async def test_what_was_sealed_opens_under_its_label_alone(tmp_path: Path) -> None:
    """By every process that has the file, whole, and until its time is over."""
    path = tmp_path / "secrets" / "accounts.key"
    ours, also_ours, others = AccountKey(path), AccountKey(path), AccountKey(tmp_path / "other")
    sealed = await ours.seal("totp", b"secret")
    assert path.stat().st_mode & 0o077 == 0
    assert await also_ours.open("totp", sealed) == b"secret"
    wrong = ((others, "totp", sealed), (ours, "oidc", sealed), (ours, "totp", sealed[:-1]), (ours, "totp", b""))
    for key, label, text in wrong:
        with pytest.raises(NotOursError):
            await key.open(label, text)
    assert (await ours.open_object("x", await ours.seal_object("x", {"a": 1}, 60)))["a"] == 1
    with pytest.raises(NotOursError, match="over"):
        await ours.open_object("x", await ours.seal_object("x", {"a": 1}, -1))
    path.write_text("AAAA")
    with pytest.raises(ConfigError, match="damaged"):
        await AccountKey(path).seal("totp", b"")


async def test_two_gateways_that_begin_together_agree_on_the_key(tmp_path: Path) -> None:
    """The first one's file stays."""
    path = tmp_path / "accounts.key"
    keys = [AccountKey(path) for _ in range(8)]
    sealed = await asyncio.gather(*(key.seal("x", b"y") for key in keys))
    assert [await key.open("x", sealed[0]) for key in keys] == [b"y"] * 8
    assert not list(tmp_path.glob("accounts.key?*"))  # noqa: ASYNC240


def test_secrets_are_long_and_kept_as_hashes() -> None:
    """256 bits."""
    assert len(make_secret()) >= 43
    assert make_secret() != make_secret()
    assert len(hash_of("x")) == 32
