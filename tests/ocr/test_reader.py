"""The text of a display: what appears, what goes, what stays, and what is not read again."""

from __future__ import annotations

from typing import Any

import pytest

from infra.ocr.cache import LineCache
from infra.ocr.reader import ScreenReader
from schemas.errors import MalformedError
from tests.ocr.desk import Desk, recognizer


@pytest.fixture
def lines() -> LineCache:
    return LineCache()


@pytest.fixture
def reader(lines: LineCache) -> ScreenReader:
    return ScreenReader(lines, recognizer())


def texts(records: list[dict[str, Any]]) -> list[str]:
    return [record["text"] for record in records]


def test_lines_appear_and_go_with_their_places_and_times(reader: ScreenReader) -> None:
    """A line is told once when it comes and once when it goes, with the box around its letters."""
    desk = Desk()
    desk.write(40, 50, "Invoice number 4711 is overdue")
    first = reader.read(desk.frame())
    assert texts(first.appeared) == ["Invoice number 4711 is overdue"]
    assert first.went == []
    line = first.appeared[0]
    assert abs(line["x"] - 40) < 5
    assert 50 <= line["y"] <= 58
    assert 10 <= line["height"] <= 22
    assert line["appeared_ms"] == 2_000
    desk.write(40, 90, "Please pay within ten days")
    second = reader.read(desk.frame())
    assert texts(second.appeared) == ["Please pay within ten days"]
    desk.wipe(0, 40, 900, 40)
    third = reader.read(desk.frame())
    assert third.appeared == []
    assert texts(third.went) == ["Invoice number 4711 is overdue"]
    assert third.went[0]["appeared_ms"] == 2_000
    assert third.went[0]["went_ms"] == 4_000


def test_a_scroll_and_a_move_read_nothing_again(reader: ScreenReader, lines: LineCache) -> None:
    """Lines that only moved are neither told nor read: their pixels are known."""
    desk = Desk()
    for row in range(8):
        desk.write(60, 60 + row * 26, f"Row {row} of the quarterly report with budget")
    assert len(reader.read(desk.frame()).appeared) == 8
    misses = lines.misses
    desk.move((0, 50, 900, 300), 0, 97)
    moved = reader.read(desk.frame())
    desk.move((40, 140, 700, 400), 133, 11)
    shifted = reader.read(desk.frame())
    assert (moved.appeared, moved.went, shifted.appeared, shifted.went) == ([], [], [], [])
    assert lines.misses == misses


def test_the_same_line_on_another_screen_is_known(reader: ScreenReader, lines: LineCache) -> None:
    """The cache is by pixels of the line, whatever its colours: other places, other people, other themes."""
    light, dark = Desk(), Desk(700, 300, "#000000")
    light.write(33, 47, "Minutes of the meeting on the second floor")
    dark.write(211, 120, "Minutes of the meeting on the second floor", ink="#ffffff")
    read = texts(reader.read(light.frame()).appeared)
    misses = lines.misses
    assert texts(ScreenReader(lines, recognizer()).read(dark.frame()).appeared) == read
    assert lines.misses == misses


def test_typing_reads_on_from_the_last_known_word(reader: ScreenReader) -> None:
    """A line that grows is told whole each time, and goes as what it was."""
    desk = Desk()
    words = "the shipment from the harbour was late again because of the storm".split()  # noqa: SIM905
    shown: list[str] = []
    for count in range(3, len(words) + 1):
        desk.wipe(0, 80, 900, 60)
        desk.write(40, 100, " ".join(words[:count]))
        text = reader.read(desk.frame())
        assert texts(text.went) == shown
        shown = texts(text.appeared)
        assert shown == [" ".join(words[:count])]


def test_a_blinking_cursor_is_no_news(reader: ScreenReader) -> None:
    """What changes a line's pixels but not its text neither appears nor goes."""
    desk = Desk()
    desk.write(40, 100, "a line with a cursor behind it")
    reader.read(desk.frame())
    for on in (True, False, True):
        desk.wipe(310, 98, 2, 20, "black" if on else "white")
        text = reader.read(desk.frame())
        assert (text.appeared, text.went) == ([], [])


def test_a_key_frame_of_the_same_screen_is_no_news(reader: ScreenReader) -> None:
    """Key frames come at intervals; they tell only what changed."""
    desk = Desk()
    desk.write(40, 100, "nothing happens on this screen")
    reader.read(desk.frame())
    again = reader.read(desk.frame(renew=True))
    assert (again.appeared, again.went) == ([], [])
    desk.wipe(0, 0, 900, 500)
    desk.write(40, 100, "another page altogether")
    changed = reader.read(desk.frame(renew=True))
    assert (texts(changed.appeared), texts(changed.went)) == (
        ["another page altogether"], ["nothing happens on this screen"],
    )  # fmt: skip


def test_a_reader_that_was_warmed_up_tells_what_one_that_never_stopped_tells() -> None:
    """Frames since the last key frame, shown without telling, leave the same state behind."""
    desk = Desk()
    frames = []
    for step in range(10):
        desk.write(30, 20 + 40 * step, f"step {step} adds a line about the budget")
        if step % 3 == 2:
            desk.wipe(0, 20 + 40 * (step - 2), 900, 40)
        if step == 6:
            desk.move((0, 200, 900, 300), 60, 7)
        frames.append(desk.frame(renew=step == 4))
    whole = ScreenReader(LineCache(), recognizer())
    expected = [whole.read(frame) for frame in frames]
    for stop in (6, 7, 9):
        warmed = ScreenReader(LineCache(), recognizer())
        for frame in frames[4:stop]:
            told = warmed.read(frame, emit=False)
            assert (told.appeared, told.went) == ([], [])
        assert [warmed.read(frame) for frame in frames[stop:]] == expected[stop:]


def test_a_frame_without_its_predecessor_is_refused(reader: ScreenReader) -> None:
    """Changes mean nothing without the picture that they change."""
    desk = Desk()
    desk.look()
    desk.write(10, 10, "late")
    frame = desk.frame()
    assert not reader.has_canvas
    assert not reader.takes(frame)
    with pytest.raises(MalformedError):
        reader.read(frame)


def test_a_damaged_frame_leaves_the_text_as_it_was(reader: ScreenReader) -> None:
    """After a refused frame the next good one tells only its own change."""
    desk = Desk()
    desk.write(40, 40, "first line of the page")
    reader.read(desk.frame())
    desk.write(40, 80, "second line of the page")
    frame = desk.frame()
    with pytest.raises(MalformedError):
        reader.read(frame | {"pixels": b"broken"})
    assert texts(reader.read(frame).appeared) == ["second line of the page"]
