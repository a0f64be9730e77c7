"""The blind index: words, keys and tokens are those of the vectors, and tell no more than the specification says."""

from __future__ import annotations

import json
import os
import unicodedata
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.blind_index import (
    BUCKET,
    FIELDS,
    LONGEST,
    SECRET_BYTES,
    SHORTEST,
    STOP_WORDS,
    TEXT,
    TITLE,
    TOKEN_BYTES,
    VARIANTS,
    Ratchet,
    Root,
    build_root,
    day_of,
    document_tokens,
    normalise,
    parse_root,
    query_tokens,
    split_tokens,
    words_of,
)
from schemas.errors import LocalError, MalformedError
from schemas.kinds import StreamKind
from tests.schemas.blind_index_vector_maker import make_vectors

KEY = bytes(range(32))


def test_the_vectors_are_what_the_code_makes() -> None:
    """Every vector is reproduced byte for byte."""
    stored = json.loads((resources.files("schemas") / "vectors" / "blind_index.json").read_text("utf-8"))
    assert json.loads(json.dumps(make_vectors())) == stored


@given(st.text(max_size=80))
def test_a_word_is_its_own_word(text: str) -> None:
    """Normalising twice is normalising once, and each word found is found again in itself: queries meet documents."""
    assert normalise(normalise(text)) == normalise(text)
    for word in words_of(text):
        assert SHORTEST <= len(word) <= LONGEST
        assert word not in STOP_WORDS
        assert list(words_of(word)) == [word]


@given(st.text(max_size=60))
def test_words_are_runs_of_letters_marks_and_digits(text: str) -> None:
    """The fast ways find what a walk by general category finds."""
    runs, run = [], ""
    for character in normalise(text) + "\0":
        category = unicodedata.category(character)
        if category[0] in "LM" or category == "Nd":
            run += character
        elif run:
            runs.append(run)
            run = ""
    kept = [word for word in runs if SHORTEST <= len(word) <= LONGEST and word not in STOP_WORDS]
    assert list(words_of(text)) == kept


@given(st.text(max_size=200), st.binary(min_size=32, max_size=32))
def test_a_document_is_found_by_each_of_its_words(text: str, salt: bytes) -> None:
    """Each word's query tokens meet the document's exactly once; their number is a multiple of 16 and in order."""
    tokens = document_tokens(KEY, salt, [(TEXT, text)])
    assert len(tokens) % BUCKET == 0
    assert len(tokens) >= BUCKET
    assert tokens == split_tokens(b"".join(tokens))
    for word in set(words_of(text)):
        assert len(set(query_tokens(KEY, word)) & set(tokens)) == 1


def test_other_fields_days_and_agents_share_nothing() -> None:
    """One word has other tokens in another field, and under another key."""
    here = set(query_tokens(KEY, "invoice", [TEXT]))
    assert len(here) == VARIANTS
    assert not here & set(query_tokens(KEY, "invoice", [TITLE]))
    assert not here & set(query_tokens(bytes(32), "invoice", [TEXT]))
    assert len(query_tokens(KEY, "invoice")) == VARIANTS * len(FIELDS)


def test_the_same_text_twice_does_not_look_the_same() -> None:
    """Another salt makes other dummies and other variants; the same salt keeps all that was there."""
    texts = [(TEXT, "alpha beta gamma delta epsilon zeta eta theta iota kappa")]
    first, second = (set(document_tokens(KEY, os.urandom(32), texts)) for _ in range(2))
    assert first != second
    grown = document_tokens(KEY, bytes(32), [(TEXT, texts[0][1] + " lambda")])
    assert len(set(document_tokens(KEY, bytes(32), texts)) - set(grown)) <= 1, "a dummy made room for a word"


def test_a_ratchet_goes_on_and_not_back() -> None:
    """Keys of later days come of earlier ones, in steps or at once; an earlier day changes nothing."""
    steps, leap = Ratchet(KEY, 10), Ratchet(KEY, 10)
    first = steps.key
    assert [steps.advance(day) for day in (11, 11, 12)] == [True, False, True]
    assert leap.advance(12)
    assert steps.key == leap.key != first
    assert not leap.advance(3)
    assert (leap.day, leap.key) == (12, steps.key)


def test_an_erased_ratchet_holds_nothing() -> None:
    """The secret is overwritten where it stood."""
    ratchet = Ratchet(KEY, 1)
    ratchet.erase()
    assert ratchet.secret == bytes(SECRET_BYTES)
    with pytest.raises(LocalError, match="32 bytes"):
        Ratchet(KEY[:-1], 1)


def test_roots_make_the_round_trip() -> None:
    """A root comes back; anything else is malformed."""
    root = Root(StreamKind.SCREEN, bytes(16), day_of(1_767_225_600_000), KEY)
    assert parse_root(build_root(root)) == root
    for bad in (b"", build_root(root)[:-1], b"\xff" + build_root(root)[1:], build_root(root) + b"\0"):
        with pytest.raises(MalformedError):
            parse_root(bad)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        bytes(TOKEN_BYTES * BUCKET),
        bytes(TOKEN_BYTES * BUCKET - 1),
        b"".join(bytes([255 - n]) * TOKEN_BYTES for n in range(BUCKET)),
    ],
)
def test_tokens_that_are_not_in_order_are_refused(bad: bytes) -> None:
    """Nothing, a part of a token, one twice, and descending ones."""
    with pytest.raises(MalformedError):
        split_tokens(bad)
