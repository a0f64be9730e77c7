"""What is logged of exceptions, never their variables; and what libraries log: once, not a thousand times."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest
import structlog

from infra.lifecycle import Reporter
from infra.logging import Sparing, configure_logging
from infra.settings import NodeSettings, Settings

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


@pytest.mark.parametrize("as_json", ["True", "False"])
def test_a_traceback_shows_no_variable(as_json: str) -> None:
    """An exception is logged with its lines of code; what stood in variables, which may be plaintext, is not."""
    run = subprocess.run(
        [sys.executable, "-c", FAILING.format(json=as_json)], capture_output=True, text=True, check=True
    )
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


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


class Nowhere:
    """A producer that nobody hears."""

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        """Return at once."""


async def test_every_line_says_of_which_life_of_which_process_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and libraries', of every task and thread, those among them that began before it was known."""
    configure_logging("gateway", json=True, node="app-1")
    structlog.get_logger().info("early")
    known = asyncio.Event()

    async def say_when_known() -> None:
        await known.wait()
        structlog.get_logger().info("of a task")

    task = asyncio.create_task(say_when_known())
    await asyncio.sleep(0)
    reporter = Reporter(Settings(node=NodeSettings(id="app-1")), "gateway", Nowhere(), name="gateway-10002")
    known.set()
    await task
    thread = threading.Thread(target=lambda: structlog.get_logger().info("of a thread"))
    thread.start()
    thread.join()
    logging.getLogger("aiokafka.conn").warning("of a library")
    early, *others = lines(capsys)
    assert (early["node"], early["component"]) == ("app-1", "gateway")
    assert "incarnation" not in early
    assert [line["event"] for line in others] == ["of a task", "of a thread", "of a library"]
    for line in others:
        life = (line["node"], line["process"], line["incarnation"])
        assert life == ("app-1", "gateway-10002", reporter.incarnation)
    assert others[2]["logger"] == "aiokafka.conn"
    configure_logging("test", json=True)


def test_a_field_of_the_event_itself_wins(capsys: pytest.CaptureFixture[str]) -> None:
    """What an event says of another node is not overwritten by who says it."""
    configure_logging("stack", json=True, node="app-1")
    structlog.get_logger().info("node_updated", node="app-2")
    assert lines(capsys)[0]["node"] == "app-2"
    configure_logging("test", json=True)
