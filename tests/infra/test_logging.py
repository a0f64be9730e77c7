"""What is logged of exceptions, never their variables; and what libraries log: once, not a thousand times."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from infra.logging import Sparing

FAILING = """
import structlog
from infra.logging import configure_logging
configure_logging("test", json={json})
def read(typed):
    raise ValueError("no event")
try:
    read("pass" + "word")
except ValueError:
    structlog.get_logger().warning("source_failed", exc_info=True)
"""


@pytest.mark.parametrize("json", ["True", "False"])
def test_a_traceback_shows_no_variable(json: str) -> None:
    """An exception is logged with its lines of code; what stood in variables, which may be plaintext, is not."""
    run = subprocess.run([sys.executable, "-c", FAILING.format(json=json)], capture_output=True, text=True, check=True)
    assert "ValueError: no event" in run.stderr
    assert "password" not in run.stderr


def say(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.conn", logging.ERROR, "", 0, text, arguments, None)


def test_a_library_repeats_itself_only_now_and_then() -> None:
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
