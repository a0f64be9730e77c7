"""The parts of unlocking that need no store: tokens, scopes, frames between processes, screens, refusals."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.unlock.pipe import HEAD_BYTES, MAX_BODY_BYTES, Kind, encode_frame, read_frame
from gateway.unlock.refusal import RefusedError, refusal_of
from gateway.unlock.scope import MAX_AGENTS, Scope
from gateway.unlock.screens import ScreenStart
from gateway.unlock.tokens import ApiTokens
from infra.cli.exits import Exit, exit_code
from schemas.errors import (
    ConfigError,
    KekClosedError,
    KekMissingError,
    MalformedError,
    OpenError,
    SealstreamError,
    UnavailableError,
    WrongPassphraseError,
)
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opened, Opener
from schemas.records import decode_segment, encode_segment
from schemas.seal import Epoch
from schemas.tiles import FrameEncoder

AGENT = bytes(15) + b"\1"


def test_a_token_is_its_persons_until_it_is_withdrawn(tmp_path: Path) -> None:
    """A token names its person; a new one ends the one before; the file holds neither."""
    tokens = ApiTokens(tmp_path / "secrets" / "api.tokens")
    first, bobs = tokens.issue("ann", 1), tokens.issue("bob", 1)
    assert (tokens.person(first), tokens.person(bobs), tokens.person("")) == ("ann", "bob", "")
    second = tokens.issue("ann", 1)
    assert (tokens.person(first), tokens.person(second)) == ("", "ann")
    text = (tmp_path / "secrets" / "api.tokens").read_text()
    assert second not in text
    assert bobs not in text
    assert tokens.withdraw("ann")
    assert not tokens.withdraw("ann")
    assert (tokens.person(second), tokens.person(bobs)) == ("", "bob")


def test_a_token_expires(tmp_path: Path) -> None:
    """After its days it is nobody's."""
    tokens = ApiTokens(tmp_path / "api.tokens")
    assert tokens.person(tokens.issue("ann", 0)) == ""


@pytest.mark.parametrize("person", ["", "x" * 65, "a\nb", "a\x1b[31m"])
def test_a_name_that_could_deceive_is_refused(tmp_path: Path, person: str) -> None:
    """The audit shows it."""
    with pytest.raises(ConfigError):
        ApiTokens(tmp_path / "api.tokens").issue(person, 1)


def test_a_damaged_file_of_tokens_lets_nobody_in(tmp_path: Path) -> None:
    """It is an error, not an empty list."""
    file = tmp_path / "api.tokens"
    file.write_text("[{}]")
    with pytest.raises(ConfigError):
        ApiTokens(file).person("anything")


scopes = st.builds(
    Scope,
    st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=4, unique=True).map(tuple),
    st.lists(
        st.sampled_from([kind for kind in StreamKind if kind is not StreamKind.INDEX]), min_size=1, unique=True
    ).map(tuple),
    st.integers(0, 10**12),
    st.integers(10**12 + 1, 10**13),
)


@given(scopes)
def test_a_scope_is_read_as_it_is_written(scope: Scope) -> None:
    """To JSON and back."""
    assert Scope.from_json(scope.to_json()) == scope


GOOD = Scope((AGENT,), (StreamKind.EMAIL,), 0, 1).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"agents": "x"},
        {"agents": [5]},
        {"agents": ["no uuid"]},
        {"agents": [f"00000000-0000-0000-0000-{n:012d}" for n in range(MAX_AGENTS + 1)]},
        {"streams": []},
        {"streams": ["index"]},
        {"streams": ["films"]},
        {"since_ms": 1.5},
        {"since_ms": True},
        {"since_ms": -1},
        {"since_ms": 1},
        {"until_ms": 10**18},
    ],
)
def test_what_is_no_scope_is_refused(change: dict[str, Any]) -> None:
    """Of each field."""
    with pytest.raises(MalformedError):
        Scope.from_json({**GOOD, **change})


@given(st.sampled_from(Kind), st.binary(max_size=500))
def test_a_frame_is_read_as_it_is_written(kind: Kind, body: bytes) -> None:
    """Whatever its body; and a stream that ends within it has ended."""
    whole = encode_frame(kind, body)
    assert read_frame(io.BytesIO(whole), kind) == (kind, body)
    for length in range(0, len(whole), 7):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(whole[:length]), kind)


@pytest.mark.parametrize("head", [b"\0\0\0\0\0", b"\0\0\0\0\xff", (MAX_BODY_BYTES + 1).to_bytes(4, "big") + b"\1"])
def test_what_is_no_frame_is_refused(head: bytes) -> None:
    """Unknown kinds, and lengths that nobody writes."""
    assert len(head) == HEAD_BYTES
    with pytest.raises(MalformedError):
        read_frame(io.BytesIO(head + bytes(10)), Kind.BEGIN)


def test_a_frame_out_of_turn_is_refused() -> None:
    """Plaintext is asked for before the audit has it: never."""
    with pytest.raises(MalformedError, match="RELEASE came in place of PASSPHRASE"):
        read_frame(io.BytesIO(encode_frame(Kind.RELEASE, {})), Kind.PASSPHRASE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WrongPassphraseError("x"), "wrong_passphrase"),
        (KekMissingError("x"), "kek_missing"),
        (KekClosedError("x", "revoked"), "kek_revoked"),
        (KekClosedError("x", "retired"), "kek_retired"),
        (UnavailableError("x"), "unavailable"),
        (MalformedError("x", "bad_scope"), "bad_scope"),
        (OpenError(), "channel"),
        (ConfigError("x"), "configuration"),
    ],
)
def test_every_error_has_a_word(error: SealstreamError, reason: str) -> None:
    """The audit, the API and scripts share it; refused is refused for the command line."""
    refusal = refusal_of(error)
    assert refusal.reason == reason
    assert refusal_of(refusal) is refusal
    assert exit_code(refusal) is Exit.REFUSED


class Screen:
    """Segments of a screen that shows a growing bar, opened."""

    def __init__(self) -> None:
        self._encoder = FrameEncoder()
        self._identity = Identity.generate(2048)
        self._epoch = Epoch.begin(
            agent_id=AGENT, kind=StreamKind.SCREEN, recipients=[self._identity.recipient], created_ms=0
        )

    def segment(self, width: int) -> Opened:
        """One frame with a bar of that width."""
        row = struct.pack("<64I", *(0xFF if column < width else 0 for column in range(64)))
        frame = self._encoder.encode(row * 32, 64, 32, time_us=width)
        assert frame
        sealed = self._epoch.seal(encode_segment(StreamKind.SCREEN, [frame]), capture_ms=width)
        return Opener([self._identity]).open(sealed)


def frames_of(segment: bytes | None) -> list[dict[str, Any]]:
    """The frames of a segment for the viewer."""
    assert segment is not None
    return decode_segment(StreamKind.SCREEN, segment)


def test_a_scope_that_begins_with_a_key_frame_is_left_as_it_is() -> None:
    """Nothing is decoded and encoded anew without need."""
    screen, start = Screen(), ScreenStart()
    first, second = screen.segment(0), screen.segment(16)
    assert frames_of(start.take(first, in_scope=True)) == frames_of(first.plaintext)
    assert start.take(second, in_scope=True) is second.plaintext


def test_what_comes_before_the_scope_is_not_released() -> None:
    """It is drawn, and the first frame in scope is whole."""
    screen, start = Screen(), ScreenStart()
    assert start.take(screen.segment(0), in_scope=False) is None
    assert start.take(screen.segment(16), in_scope=False) is None
    (frame,) = frames_of(start.take(screen.segment(32), in_scope=True))
    assert frame["key_frame"]
    assert frame["time_us"] == 32


def test_frames_that_build_on_what_is_not_here_wait_for_a_key_frame() -> None:
    """An epoch whose beginning was erased shows nothing wrong."""
    screen, start = Screen(), ScreenStart()
    screen.segment(0)
    assert start.take(screen.segment(16), in_scope=True) is None


def test_a_refusal_says_when_to_come_again() -> None:
    """For the header `Retry-After`."""
    assert RefusedError("too_many_attempts", "x", 30).retry_after_s == 30
