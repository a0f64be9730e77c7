"""Terminal sessions as a person reads them: vectors of bytes, and sessions recorded from real programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.text.emulator import Emulator
from infra.text.terminal import TerminalReader
from infra.text.typing import LineEditor
from schemas.identity import EnvelopeId
from tests.streams.recording import START_MS, terminal

SESSIONS = Path(__file__).parent / "sessions"
EPOCH = bytes(32)


def shown(*chunks: bytes, columns: int = 80, rows: int = 24) -> str:
    """What a terminal shows after the chunks."""
    emulator = Emulator(columns, rows)
    for chunk in chunks:
        emulator.feed(chunk)
    return "\n".join(line.text for line in emulator.page.lines).strip("\n")


def read(segments: list[list[dict]], epochs: list[bytes] | None = None) -> dict[tuple[int, int], str]:
    """The last text of each passage, by where it began."""
    reader = TerminalReader()
    found: dict[tuple[bytes, int, int], str] = {}
    for sequence, events in enumerate(segments):
        epoch = EPOCH if epochs is None else epochs[sequence]
        for passage in reader.read(EnvelopeId(bytes(16), epoch, sequence), events):
            found[passage.source.epoch_id, passage.source.sequence, passage.ordinal] = passage.text
    return {(sequence, ordinal): text for (_, sequence, ordinal), text in found.items()}


def recorded(name: str) -> str:
    """All text of a recorded session, cut into segments of a second."""
    session = json.loads((SESSIONS / f"{name}.json").read_text())
    size = {"columns": session["columns"], "rows": session["rows"]}
    segments: dict[int, list[dict]] = {}
    for event in session["events"]:
        made = terminal(event["kind"], event["data"].encode("latin-1"), at_ms=0, **size)
        segments.setdefault(event["time_us"] // 1_000_000, []).append({**made, "time_us": event["time_us"]})
    return "\n".join(read(list(segments.values())).values())


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([b"plain text\r\nsecond line"], "plain text\nsecond line"),
        ([b"teh\b\bhe"], "the"),
        ([b"12%\r57%\r100%"], "100%"),
        ([b"\x1b[1;31mred\x1b[0m and \x1b[38;5;42mgreen\x1b[m"], "red and green"),
        ([b"abc\x1b[2D\x1b[Kx"], "ax"),
        ([b"abcdef\x1b[4D\x1b[2P"], "abef"),
        ([b"abef\x1b[2D\x1b[2@cd"], "abcdef"),
        ([b"one\r\ntwo\x1b[A\rONE"], "ONE\ntwo"),
        ([b"caf\xc3", b"\xa9 \xe2\x82", b"\xac5"], "café €5"),
        ([b"e\xcc\x81t\xc3\xa9"], "été"),
        (["中文 ok".encode()], "中文 ok"),
        ([b"a\tb"], "a       b"),
        ([b"\x1b]0;title\x07text"], "text"),
        ([b"\x1b]0;cut ti", b"tle\x1b\\text"], "text"),
        ([b"\x1bP+q436f\x1b\\text"], "text"),
        ([b"\x1b[?2004h$ ls\x1b[?2004l"], "$ ls"),
        ([b"\x1b[<u\x1b[>4;2m\x1b[!p\x1b[2 qtext"], "text"),
        ([b"\x1b(0lqk\x1b(B"], "┌─┐"),
        ([b"ab\x1b[3b"], "abbbb"),
        ([b"\x1b[31", b"mred"], "red"),
        ([b"x\x1b7yz\x1b8Y"], "xYz"),
        ([b"\x1b[5;3Hhere"], "  here"),
        ([b"bell\x07 and nul\x00"], "bell and nul"),
        ([b"\xff\xfe broken utf-8"], "�� broken utf-8"),
    ],
)
def test_what_a_terminal_shows(chunks, text):
    """Control sequences do what they do, whole or cut in two, and leave no trace of themselves."""
    assert shown(*chunks) == text


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=12))
def test_no_output_whatever_stops_the_emulator(chunks):
    """Any bytes are taken, and what is shown does not depend on how they were cut."""
    assert shown(*chunks) == shown(b"".join(chunks))


@settings(deadline=None)
@given(st.lists(st.sampled_from([
    b"word ", b"\r", b"\n", b"\r\n", b"\b", b"\x1b[2J", b"\x1b[H", b"\x1b[A", b"\x1b[3B", b"\x1b[5C", b"\x1b[D",
    b"\x1b[K", b"\x1b[1K", b"\x1b[2K", b"\x1b[J", b"\x1b[L", b"\x1b[2P", b"\x1b[3@", b"\x1b[4X",
    b"\x1b[3;7H", b"\x1bM", b"\x1bD", b"\x1b7", b"\x1b[31m", b"\t", b"x" * 9,
]), max_size=30))  # fmt: skip
def test_the_emulator_agrees_with_another(chunks):
    """On what both know, the page is the one that pyte shows (whose deleting of lines leaves some behind)."""
    pyte = pytest.importorskip("pyte")
    screen = pyte.Screen(300, 6)  # too wide to wrap: at the very edge pyte stands beside the page
    stream = pyte.ByteStream(screen)
    for chunk in chunks:
        stream.feed(chunk)
    theirs = "\n".join(line.rstrip() for line in screen.display).strip("\n")
    assert shown(*chunks, columns=300, rows=6) == theirs


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        (b"hello\r", ["hello"]),
        (b"helo\x7flo\r", ["hello"]),
        (b"wrong\x15right\r", ["right"]),
        (b"one two\x17three\r", ["one three"]),
        (b"wrld\x1b[D\x1b[D\x1b[Do\r", ["world"]),
        (b"world\x01hello \x05!\r", ["hello world!"]),
        (b"ab\x1b[Hx\x1b[F\x1b[3~y\r", ["xaby"]),
        (b"\x1b[A\r", []),
        (b"git che\t\r", []),
        (b"abandoned\x03next\r", ["next"]),
        (b"\x1b[200~pasted text\x1b[201~\r", ["pasted text"]),
        ("größe 中\r".encode(), ["größe 中"]),
        (b"\r\r\r", []),
    ],
)
def test_typed_lines_come_as_edited(keys, lines):
    """Keys that edit do so, cut anywhere; a line that history or completion changed is not guessed."""
    whole, piecemeal = LineEditor(), LineEditor()
    assert whole.feed(keys) == lines
    assert [line for key in keys for line in piecemeal.feed(bytes([key]))] == lines


def test_a_readline_session_reads_as_it_was_run():
    """Backspace, Ctrl-W, Ctrl-U, history and arrows in bash: the lines that ran, and what they printed."""
    text = recorded("readline")
    assert "$ echo hello world\nhello world\n$ echo good\ngood\n$ echo hello world!\nhello world!" in text
    assert "$ echo moved end\nmoved end" in text
    assert "wrold" not in text
    assert "garbage" not in text


def test_a_pager_gives_each_page_once():
    """All lines that `less` showed are there, once, and none of those it did not."""
    lines = recorded("less").splitlines()
    numbers = [int(line.split()[1]) for line in lines if line.startswith("invoice ")]
    assert numbers == sorted(set(numbers))
    assert {1, 23, 24, 46, 60, 119} <= set(numbers)


def test_an_editor_gives_the_text_not_its_making():
    """What was typed in vim is there as it stood in the end, whole, and not each letter of it."""
    lines = recorded("vim").splitlines()
    assert "Dear customer, your invoice is overdue." in lines
    assert "Please pay." in lines
    assert not any("invoy" in line for line in lines)


def test_a_monitor_that_ticks_is_not_told_tick_by_tick():
    """A monitor left alone for some refreshes gives its last page, not every one."""
    lines = recorded("monitor").splitlines()
    assert sum("load average" in line for line in lines) == 1
    assert any("load average: 0.30" in line for line in lines)
    assert len(lines) <= 8


def test_progress_bars_and_wrapped_lines():
    """A bar drawn over itself leaves its last state; a line longer than the terminal is one line."""
    text = recorded("progress")
    assert "downloading 40%" in text
    assert "39%" not in text
    assert "wrapped-" * 20 in text


def test_a_word_across_a_border_of_segments_is_whole():
    """Typed or printed half in one segment and half in the next, a word is found in one document."""
    segments = [
        [terminal("output", b"$ sear")],
        [terminal("output", b"ching\r\nres")],
        [terminal("output", b"ults\r\n")],
    ]
    assert read(segments) == {(0, 0): "$ searching\nresults"}


def test_a_passage_keeps_its_identity_while_it_grows():
    """Each segment that adds to a passage tells it again under the segment where it began."""
    reader = TerminalReader()
    told = [
        [(p.source.sequence, p.ordinal, p.text) for p in reader.read(EnvelopeId(bytes(16), EPOCH, n), [event])]
        for n, event in enumerate(
            [terminal("output", b"one\r\n"), terminal("output", b"two\r\n"), terminal("input", b"x")]
        )
    ]
    assert told == [[(0, 0, "one")], [(0, 0, "one\ntwo")], []]


def test_a_new_epoch_or_a_quiet_while_begins_a_new_passage():
    """The line being written is carried over whole; what was told is not told again."""
    later = START_MS + 60_000
    segments = [
        [terminal("output", b"$ first\r\n$ sec")],
        [terminal("output", b"ond\r\n")],
        [terminal("output", b"third\r\n", at_ms=later)],
    ]
    assert read(segments, [b"a" * 32, b"b" * 32, b"b" * 32]) == {
        (0, 0): "$ first\n$ sec",
        (1, 0): "$ second",
        (2, 0): "third",
    }


def test_long_output_becomes_many_passages_and_loses_no_line():
    """Ten thousand lines in a few segments are all there, once, in order."""
    lines = [f"line number {number}" for number in range(10_000)]
    output = "\r\n".join(lines).encode() + b"\r\n"
    segments = [[terminal("output", output[at : at + 60_000])] for at in range(0, len(output), 60_000)]
    passages = read(segments)
    assert len(passages) > 10
    assert "\n".join(passages[at] for at in sorted(passages)).splitlines() == lines


def test_a_cleared_screen_was_still_seen():
    """What `clear` wiped stays in the text."""
    assert read([[terminal("output", b"secret plan\r\n\x1b[H\x1b[2J\x1b[3J$ next")]]) == {(0, 0): "secret plan\n$ next"}


def test_masked_input_leaves_nothing():
    """What was typed while echo was off is in no text, nor what surrounds it mixed up."""
    events = [
        terminal("output", b"Password: "),
        terminal("input", b"", masked=True),
        terminal("input", b"\r"),
        terminal("output", b"\r\nwelcome\r\n"),
    ]
    assert read([events]) == {(0, 0): "Password:\nwelcome"}


def test_typing_that_was_not_shown_is_told():
    """Input without its echo, as edited, stands below what was shown; echoed input is not repeated."""
    hidden = [terminal("input", b"unseen wrods\x7f\x7f\x7f\x7fords\r"), terminal("output", b"ok\r\n")]
    assert read([hidden]) == {(0, 0): "ok\nunseen words"}
    echoed = [terminal("input", b"seen words\r"), terminal("output", b"$ seen words\r\n")]
    assert read([echoed]) == {(0, 0): "$ seen words"}


def test_sessions_are_kept_apart():
    """Two terminals of one agent in one segment give two passages."""
    events = [terminal("output", b"left", session="a"), terminal("output", b"right", session="b")]
    assert read([events]) == {(0, 0): "left", (0, 1): "right"}


def test_a_resize_keeps_what_was_written():
    """Lines that no longer fit are still told."""
    events = [
        terminal("start", b"sh", columns=40, rows=5),
        terminal("output", b"1\r\n2\r\n3\r\n4\r\n5"),
        terminal("resize", columns=20, rows=3),
        terminal("output", b"\r\n6"),
    ]
    assert read([events]) == {(0, 0): "1\n2\n3\n4\n5\n6"}


PIECES = st.one_of(
    st.text("ab 0", max_size=30),
    st.sampled_from(["\r\n", "\r\n\r\n\r\n", "\n", "\r", "\t", "\x0e", "\x0f", "é漢", "\b"]),
    st.sampled_from(["\x1b[4h", "\x1b[4l", "\x1b[?7l", "\x1b[?1049h", "\x1b[?1049l", "\x1b[2;4r", "\x1b[r", "\x1b[3b"]),
    st.builds("\x1b[{}{}".format, st.integers(0, 9), st.sampled_from("ABCDGHJKLMPST@Xd")),
)


@given(st.lists(PIECES, max_size=25), st.integers(2, 12), st.integers(2, 6))
def test_lines_are_the_same_whole_and_character_by_character(pieces, columns, rows):
    """The quick way of plain lines leaves the page, the cursor and what scrolled off as the slow way does."""
    whole, slow = Emulator(columns, rows), Emulator(columns, rows)
    text = "".join(pieces)
    whole.feed(text.encode())
    for character in text:
        slow.feed(character.encode())
    pages = [whole.page, slow.page]
    assert [line.cells for line in pages[0].lines] == [line.cells for line in pages[1].lines]
    assert [line.wrapped for line in pages[0].lines] == [line.wrapped for line in pages[1].lines]
    assert (pages[0].x, pages[0].y) == (pages[1].x, pages[1].y)
    assert [line.cells for line in pages[0].gone] == [line.cells for line in pages[1].gone]


def test_output_line_by_line_is_read_as_in_one_piece():
    """However a program wrote it within a moment: the same text, begun and ended at the same times."""
    lines = [b"line %d of a build\r\n" % number for number in range(40)]
    apart = [terminal("output", line, at_ms=START_MS + number) for number, line in enumerate(lines)]
    [one] = TerminalReader().read(EnvelopeId(bytes(16), EPOCH, 0), apart)
    [other] = TerminalReader().read(EnvelopeId(bytes(16), EPOCH, 0), [terminal("output", b"".join(lines))])
    assert one.text == other.text == b"".join(lines).decode().replace("\r\n", "\n").strip()
    assert (one.time_us, one.until_us) == (START_MS * 1000, (START_MS + 39) * 1000)
