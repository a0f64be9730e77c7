"""What a gateway tells of live viewing: what is built is read, and what breaks a rule is refused whole."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from schemas.audio_packet import Suite
from schemas.errors import MalformedError
from schemas.frames import LiveStart, build_frame
from schemas.keys import Identity
from schemas.live import MAX_VIEWER_KEYS, Listen, Watch, dump_viewer_key, load_viewer_key

WATCH = Watch(("a", "b"), 2, 30, fresh=True)
LISTEN = Listen(2000, 7, Suite.CHACHA20_POLY1305, bytes(32), bytes(12), 3, 9.5)


def test_what_is_built_is_read() -> None:
    """Both ways."""
    assert Watch.from_detail(WATCH.to_detail()) == WATCH
    assert Listen.from_detail(LISTEN.to_detail()) == LISTEN


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "audio"},
        {"viewer_keys": "a"},
        {"viewer_keys": [1]},
        {"viewer_keys": ["a"] * 9},
        {"viewers": -1},
        {"viewers": True},
        {"lease_s": 0},
        {"lease_s": 1e9},
        {"lease_s": "60"},
    ],
)
def test_a_wrong_watch_is_refused(change: dict[str, Any]) -> None:
    """As a whole."""
    with pytest.raises(MalformedError):
        Watch.from_detail(WATCH.to_detail() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"port": 1023},
        {"port": 65_536},
        {"port": "2000"},
        {"stream_id": -1},
        {"stream_id": 1 << 32},
        {"suite": 3},
        {"suite": None},
        {"key": base64.b64encode(bytes(31)).decode()},
        {"key": "!"},
        {"salt": ""},
        {"viewers": None},
    ],
)
def test_a_wrong_listen_is_refused(change: dict[str, Any]) -> None:
    """As a whole."""
    with pytest.raises(MalformedError):
        Listen.from_detail(LISTEN.to_detail() | change)


def test_a_viewers_key_is_rsa_of_2048_bits() -> None:
    """It comes back as the recipient that it is; any other is refused."""
    recipient = Identity.generate(2048).recipient
    assert load_viewer_key(dump_viewer_key(recipient)) == recipient
    for wrong in (dump_viewer_key(Identity.generate(3072).recipient), "AAAA", "?", ""):
        with pytest.raises(MalformedError):
            load_viewer_key(wrong)


def test_as_many_keys_as_there_may_be_fit_a_frame() -> None:
    """Eight viewers of one screen."""
    key = dump_viewer_key(Identity.generate(2048).recipient)
    assert len(build_frame(LiveStart(Watch((key,) * MAX_VIEWER_KEYS, 10_000, 299.123456789).to_detail()))) < 4096


def test_a_key_is_never_shown() -> None:
    """Not where a frame or value is printed."""
    assert "key=" not in repr(LISTEN)
