"""Passphrases as people type them, at a real terminal, and as files hold them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cli.secret_entry import entered_passphrase
from schemas.errors import ConfigError
from tests.live.typist import Typist

PROGRAM = (
    "from infra.cli.secret_entry import entered_passphrase\n"
    "with entered_passphrase(None, 'Passphrase of officers') as typed: print('got', bytes(typed).hex())\n"
    "print('left', any(typed), flush=True)"
)


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("correct horse\r", "correct horse"),
        ("wrong\x15right\r", "right"),
        ("rightx\x7f\x08\x7fht\r", "right"),
        ("größe\x7f\x7f\x7fße\r", "grße"),
        ("\x7f\x7fa\r", "a"),
        ("end of input\x04", "end of input"),
    ],
)
def test_a_passphrase_is_typed_unseen_and_wiped(typed: str, taken: str) -> None:
    """Corrections count, nothing is shown, and the buffer is zeros afterwards."""
    with Typist([sys.executable, "-c", PROGRAM], os.environ) as typist:
        typist.await_text("Passphrase of officers: ")
        for key in typed:
            typist.type(key)
        typist.await_text(f"\r\ngot {taken.encode().hex()}\r\n")
        typist.await_text("left False")
        assert typist.await_end() == 0


def test_an_interrupt_ends_it() -> None:
    """Ctrl-C is no letter of a passphrase."""
    with Typist([sys.executable, "-c", PROGRAM], os.environ) as typist:
        typist.await_text("Passphrase of officers: ")
        typist.type("abc\x03")
        assert typist.await_end() != 0


@given(
    st.binary(max_size=200).filter(lambda text: not text.endswith((b"\r", b"\n"))), st.sampled_from(["", "\n", "\r\n"])
)
def test_a_file_is_taken_without_the_end_of_its_line(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, end: str
) -> None:
    """All other bytes belong to the passphrase."""
    file = tmp_path_factory.mktemp("passphrase") / "file"
    file.write_bytes(text + end.encode())
    with entered_passphrase(file) as passphrase:
        assert passphrase == text
    assert not any(passphrase)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match="missing"), entered_passphrase(tmp_path / "missing"):
        pass
