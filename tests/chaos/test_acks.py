"""How long there were no acknowledgements, from what agents noted."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.acks import Acks, Tail, longest_pause
from tests.live.load import ACCOUNT


def test_a_pause_counts_from_the_fault_to_now_and_between_acknowledgements() -> None:
    """Silence before the first and after the last one counts as much as that between two."""
    assert longest_pause([1.0, 2.0, 2.5], since_s=1.5, now_s=3.0) == 0.5
    assert longest_pause([1.0, 9.0], since_s=2.0, now_s=10.0) == 7.0
    assert longest_pause([], since_s=2.0, now_s=5.0) == 3.0


def test_a_line_that_is_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    """An agent may be in the middle of a line whenever it is looked at."""
    account = tmp_path / ACCOUNT
    account.write_text("start\nappend aa 0 5 email\nack aa 0 12.5\nack aa 1 1")
    tail = Tail(account)
    assert list(tail.read()) == [12.5]
    with account.open("a") as more:
        more.write("3.250\n")
    assert list(tail.read()) == [12.5, 13.25]


def test_an_agent_that_was_never_heard_of_is_silent(tmp_path: Path) -> None:
    """And so is one whose last acknowledgement came before."""
    for name, times in (("early", "ack aa 0 10.0\n"), ("late", "ack aa 0 30.0\n"), ("never", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ACCOUNT).write_text(times)
    acks = Acks(tmp_path / name for name in ("early", "late", "never"))
    assert acks.silent_since(20.0) == ["early", "never"]
