"""What libraries log: once, not a thousand times."""

from __future__ import annotations

import logging

from infra.logging import Sparing


def say(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.conn", logging.ERROR, "", 0, text, arguments, None)


def test_a_library_repeats_itself_only_now_and_then():
    """The same text, with whatever arguments, comes once in ten seconds, with how often it was held back."""
    now = 0.0
    sparing = Sparing(10.0, lambda: now)
    assert sparing.filter(say("no connection to %s", 1))
    assert not any(sparing.filter(say("no connection to %s", number)) for number in range(5))
    assert sparing.filter(say("something else"))
    now = 10.0
    later = say("no connection to %s", 9)
    assert sparing.filter(later)
    assert later.getMessage() == "no connection to 9 (repeated 5 times)"
