"""The canary search finds what it is to find, in files and in memories, wherever it stands."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.demo.canary import (
    Finder,
    Needle,
    Search,
    family,
    key_needles,
    search_files,
    search_memory,
    secret_needles,
    text_needles,
)
from schemas.keys import Identity

WORD = "zogavufo"


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=40), st.binary(max_size=300))
def test_a_needle_is_found_wherever_it_stands(before: bytes, needle: bytes, after: bytes) -> None:
    """At even and odd places, at the beginning and at the end."""
    assert Finder([Needle("it", needle)]).names_in(before + needle + after) == {"it"}


@given(st.binary(max_size=300), st.lists(st.binary(min_size=4, max_size=12), min_size=1, max_size=5))
def test_what_is_not_there_is_not_found(data: bytes, needles: list[bytes]) -> None:
    """The finder agrees with Python's own search on any bytes."""
    named = [Needle(needle.hex(), needle) for needle in needles]
    assert Finder(named).names_in(data) == {needle.hex() for needle in needles if needle in data}


@pytest.mark.parametrize(
    "written",
    [
        WORD.encode(),
        WORD.upper().encode(),
        WORD.encode("utf-16-le"),
        WORD.encode("utf-16-be"),
        WORD.encode().hex().encode(),
        *(base64.b64encode(b"x" * before + WORD.encode() + b"and more") for before in range(5)),
    ],
)
def test_a_word_is_found_in_every_form(written: bytes) -> None:
    """As UTF-8, UTF-16 of either order, hexadecimal, and base64 from any place."""
    assert Finder(text_needles("word", WORD)).names_in(b"\n" + written + b"\n")


def test_files_are_searched_across_the_borders_of_reads(tmp_path: Path) -> None:
    """A needle across the border of two reads is found; a directory that is left out is not looked at."""
    (tmp_path / "large").write_bytes(b"\1" * (8 * 1024 * 1024 - 3) + WORD.encode() + b"\1" * 100)
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "file").write_bytes(WORD.encode())
    search = Search()
    search_files(search, tmp_path, text_needles("word", WORD), leave=[tmp_path / "left"])
    assert [finding.place for finding in search.findings] == [str(tmp_path / "large")]
    assert search.files == 1


def test_the_memory_of_a_process_is_searched() -> None:
    """A private key, a DEK and a word that a process holds are found; what it does not hold is not."""
    identity, other = Identity.generate(2048), Identity.generate(2048)
    program = (
        "import sys\nfrom cryptography.hazmat.primitives.serialization import load_pem_private_key as load\n"
        "key = load(bytes.fromhex(sys.stdin.readline()), b'passphrase'); key.sign\n"
        "held = bytes.fromhex(sys.stdin.readline())\nprint('ready', flush=True)\nsys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        dek = bytes(range(100, 132))
        process.stdin.write(identity.to_pem(b"passphrase").hex().encode() + b"\n")
        process.stdin.write((dek + WORD.encode()).hex().encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        needles = [
            *text_needles("word", WORD),
            *secret_needles("dek", dek),
            *key_needles("key", identity.private_key),
            *key_needles("other", other.private_key),
        ]
        search = Search()
        search_memory(search, process.pid, needles, "it")
        assert process.pid in family([process.pid])
        process.stdin.close()
    assert search.processes == 1
    for name in ("word as utf-8", "dek", "key"):
        assert search.of(name), name
    assert not search.of("other")
