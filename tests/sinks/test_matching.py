"""Comparing opened text with what was asked for: words as the blind index has them, phrases, fragments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.blind_index import words_of
from schemas.errors import ConfigError
from sinks.matching import Wanted


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("invoice", "the INVOICE is here"),
        ("invoice overdue", "overdue: one invoice"),
        ('"invoice is overdue"', "The invoice, is\noverdue"),
        ("ann@example.org", "from ann@example.org"),
        ("überweisung", "U\u0308BERWEISUNG"),
        ('"the plan"', "see the plan"),
        ("οδοσ", "ΟΔΟΣ"),
    ],
)
def test_what_says_it_is_found(asked: str, text: str) -> None:
    """Case, accents, punctuation and line breaks do not matter; all words and phrases must be there."""
    assert Wanted(asked).met_by([text])


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("invoice", "invoices"),
        ("invoice overdue", "an invoice"),
        ('"invoice overdue"', "the invoice is overdue"),
        ("ann@example.org", "ann at example, org"),
        ('"overdue invoice"', "invoice overdue"),
    ],
)
def test_what_does_not_say_it_is_not_found(asked: str, text: str) -> None:
    """Whole words alone, every one of them, and phrases in their order."""
    assert not Wanted(asked).met_by([text])


def test_a_phrase_stands_in_one_field() -> None:
    """Words may be spread over a document's fields, a phrase may not."""
    assert Wanted("lunch noon").met_by(["lunch", "at noon"])
    assert not Wanted('"lunch at"').met_by(["lunch", "at noon"])


@pytest.mark.parametrize("asked", ["", "the and", "a", '"of the"', "x" * 65, "inv*"])
def test_what_an_index_of_hashes_cannot_find_is_refused(asked: str) -> None:
    """Stop words alone, words too short or too long, beginnings of words."""
    with pytest.raises(ConfigError):
        Wanted(asked)


def test_words_that_an_index_lacks_are_compared_all_the_same() -> None:
    """A stop word in a phrase is no token, and is looked for in the text."""
    wanted = Wanted('"to the moon"')
    assert wanted.words == ["moon"]
    assert not wanted.met_by(["moon"])


def test_fragments_show_where_it_stands() -> None:
    """At most three pieces, with marks round the words as they are written."""
    wanted = Wanted("Straße")
    text = "x " * 100 + "die STRASSE und die Straße, dann die straße"
    (fragment,) = wanted.fragments(text, "[", "]")
    assert "[Straße]" in fragment
    assert "[straße]" in fragment
    assert "[STRASSE]" not in fragment
    assert (
        len(
            wanted.fragments(
                "straße " + "x" * 200 + " straße " + "x" * 200 + " straße" + " y" * 200 + " straße", "[", "]"
            )
        )
        == 3
    )


@given(st.text(max_size=200))
def test_every_word_of_a_text_is_found_in_it(text: str) -> None:
    """What the index has, the comparison finds."""
    for word in set(words_of(text)):
        assert Wanted(word).met_by([text])
    for word in set(words_of(text)):
        assert Wanted(word).mark(text, "", "") == text
