"""A reading and the letters that are known: the same as a regular expression says, in the time that a line may take."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from infra.ocr.agreement import MOST_LETTERS, Open, Part, divide

PARTS = st.one_of(st.sampled_from(["a", "b", "ab", " "]), st.sampled_from(list(Open)))


def expression(words: list[list[Part]]) -> str:
    spelled = {Open.UNKNOWN: rf"\S{{1,{MOST_LETTERS}}}", Open.BLANK: " ?"}
    return " ".join(
        "(" + "".join(spelled[part] if isinstance(part, Open) else re.escape(part) for part in word) + ")"
        for word in words
    )


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=3), st.text("ab \t", max_size=12))
def test_a_reading_is_divided_as_a_regular_expression_divides_it(words, text):
    """Letters are matched as they stand, unknown parts by one to three characters, blanks by one or none."""
    found = re.fullmatch(expression(words), text)
    assert divide(words, text) == (list(found.groups()) if found else None)


def test_a_line_of_unknown_letters_costs_no_more_than_a_known_one():
    """Hundreds of unknown parts before a letter that differs are judged at once: an expression would try for ever."""
    began = time.process_time()
    assert divide([[Open.UNKNOWN] * 300 + ["x"]], "m" * 400 + "y") is None
    assert divide([[Open.UNKNOWN] * 300 + ["y"]], "m" * 400 + "y") == ["m" * 400 + "y"]
    assert time.process_time() - began < 1
