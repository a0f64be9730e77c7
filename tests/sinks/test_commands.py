"""What the commands of this part make of people's words, and of text that was written by somebody else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.cli.lifecycle import render_event
from infra.cli.plain import plain_json, plain_line
from infra.cli.search import _marked, _spans
from infra.cli.table import render_table
from infra.cli.times import parse_time_ms
from schemas.errors import ConfigError
from sinks.elasticsearch.search import MARK_END, MARK_START

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("now", NOW_MS),
        ("90s", NOW_MS - 90_000),
        ("2h", NOW_MS - 7_200_000),
        (" 7d ", NOW_MS - 7 * 86_400_000),
        ("1w", NOW_MS - 7 * 86_400_000),
        ("2026-11-23T12:00:00+00:00", NOW_MS),
        ("2026-11-23T13:00+01:00", NOW_MS),
    ],
)
def test_times_as_people_write_them(text: str, ms: int) -> None:
    """So long ago, or a moment."""
    assert parse_time_ms(text, NOW) == ms


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "h2", "99999999999w", "2026-13-01"])
def test_other_words_are_refused_with_the_forms_there_are(text: str) -> None:
    """A mistyped time is never taken for another."""
    with pytest.raises(ConfigError, match="write how long ago"):
        parse_time_ms(text, NOW)


def test_mined_text_cannot_command_the_terminal() -> None:
    """Escape sequences, line ends and marks of direction do not reach it."""
    assert plain_line("a\x1b[2Jb\r\nc\x9b31m\u202ed\té") == "a [2Jb c 31md é"
    assert plain_json({"text": "\x1b[2J \x9b2J \x7f \u202e é"}) == '{"text": "\\u001b[2J \\u009b2J \\u007f \\u202e é"}'


def test_a_table_shows_what_others_wrote_without_obeying_it() -> None:
    """A name with an escape sequence is a cell like any other."""
    assert render_table(("NAME",), [("\x1b[2Jmine\n",)]) == "NAME\n[2Jmine"


def test_an_endpoints_name_cannot_command_the_operators_terminal() -> None:
    """What an agent says of its user and computer is shown by `lifecycle tail` without control characters."""
    event: dict[str, Any] = {
        "time_ms": 1, "event": "connected", "id": "a", "address": "", "reporter": "g",
        "detail": {"user": "\x1b]0;mine\x07", "computer": "\x9b2J"},
    }  # fmt: skip
    assert render_event(event).isprintable()
    assert render_event({"line": "agent", "user": "\x1b[2J"}).isprintable()


def test_found_words_are_marked() -> None:
    """Where there is no colour, marks stand round them; half a mark is no mark."""
    fragment = f"the {MARK_START}invoice{MARK_END} is {MARK_START}overdue{MARK_END}"
    assert _marked(fragment, plain=True).plain == "the »invoice« is »overdue«"
    assert _marked(fragment, plain=False).plain == "the invoice is overdue"
    assert _marked(f"odd {MARK_END} end {MARK_START}x", plain=True).plain == "odd  end x"
    assert _spans(fragment, MARK_START, MARK_END) == {"text": "the invoice is overdue", "found": ["invoice", "overdue"]}
