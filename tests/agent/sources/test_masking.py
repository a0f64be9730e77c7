"""What of what is typed may be kept, told to the mask byte by byte."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sources.masking import HELD_BYTES, SHOWN_WITHIN_US, InputMask
from agent.sources.pseudoterminal import TerminalMode

LINES, PROMPT, RAW = TerminalMode(True, True), TerminalMode(True, False), TerminalMode(False, False)
MS = 1000


def data(pieces, kind="input"):
    return b"".join(piece.data for piece in pieces if piece.kind == kind)


def test_a_line_waits_until_it_is_taken():
    """Until then neither it nor its echo is told; then both are, in order."""
    mask = InputMask()
    mask.typed(b"hello\r", 0, LINES)
    mask.printed(b"hello\r\n", 1 * MS)
    mask.observe(1 * MS, LINES, 6)
    assert mask.take(1 * MS) == []
    mask.observe(5 * MS, LINES, 0)
    assert [(piece.kind, piece.data) for piece in mask.take(5 * MS)] == [
        ("input", b"hello\r"),
        ("output", b"hello\r\n"),
    ]
    assert not mask.pending


def test_output_does_not_wait_for_long():
    """Behind a line that nobody takes, other output goes on after a second, or when it is much; its echo does not."""
    mask = InputMask()
    mask.typed(b"secret\r", 0, LINES)
    mask.printed(b"se", 1 * MS)
    mask.printed(b"cret\r\nother", 2 * MS)
    mask.observe(3 * MS, LINES, 7)
    assert mask.take(3 * MS) == []
    assert data(mask.take(SHOWN_WITHIN_US + 2 * MS), "output") == b"other"
    mask.printed(b"x" * HELD_BYTES * 2, SHOWN_WITHIN_US + 3 * MS)
    assert data(mask.take(SHOWN_WITHIN_US + 3 * MS), "output") == b"x" * HELD_BYTES * 2
    mask.observe(SHOWN_WITHIN_US + 4 * MS, PROMPT, 0)
    (piece,) = mask.take(SHOWN_WITHIN_US + 4 * MS)
    assert (piece.kind, piece.masked, piece.data) == ("input", True, b"")


def test_times_never_go_back():
    """What is told late is told with the time of what was told before it."""
    mask = InputMask()
    mask.typed(b"line\r", 0, LINES)
    mask.printed(b"line\r\n", 1 * MS)
    mask.printed(b"more", 500 * MS)
    mask.observe(2000 * MS, LINES, 5)
    pieces = mask.take(2000 * MS)
    mask.observe(2001 * MS, RAW, 0)
    mask.printed(b"line", 2002 * MS)
    pieces += mask.take(2003 * MS) + mask.finish(2004 * MS, 0)
    assert data(pieces) == b"line\r"
    times = [piece.time_us for piece in pieces]
    assert times == sorted(times)


def test_letters_here_and_there_do_not_show_a_text():
    """A password that a raw prompt does not show stays masked, though all its letters come by in other output."""
    mask = InputMask()
    mask.typed(b"hunter2", 0, RAW)
    mask.printed(b"here is a hundred and twenty-two lines of an entirely other kind: h u n t e d r 2", 10 * MS)
    mask.observe(2 * SHOWN_WITHIN_US, RAW, 0)
    pieces = mask.take(2 * SHOWN_WITHIN_US)
    assert data(pieces) == b""
    assert [piece.masked for piece in pieces if piece.kind == "input"] == [True]


def type_keys(mask, keys, every_us=30 * MS):
    """Keys one by one, the mask looking on in between; when the last was typed."""
    for number, key in enumerate(keys):
        mask.typed(bytes([key]), number * every_us, RAW)
        mask.observe(number * every_us + 1, RAW, 0)
    return (len(keys) - 1) * every_us


def judged(mask, now_us):
    """What is kept of the input once its time is over, and how often something masked is told."""
    mask.observe(now_us, RAW, 0)
    pieces = [piece for piece in mask.take(now_us) if piece.kind == "input"]
    assert not mask.pending
    return data(pieces), sum(piece.masked for piece in pieces)


def test_letters_of_what_is_said_after_a_silent_prompt_show_nothing():
    """A password typed key by key without an answer stays masked, though the answer has letters of it."""
    for password in (b"hunter2", b"thanks4", b"nothing"):
        mask = InputMask()
        ended_us = type_keys(mask, password)
        mask.printed(b" thanks, that is right!", ended_us + 5 * MS)
        assert judged(mask, ended_us + 2 * SHOWN_WITHIN_US) == (b"", 1)


def test_stars_for_keys_mask_them_at_once():
    """Whether a star is read with each key, or all of them with what is said afterwards."""
    mask = InputMask()
    for number, key in enumerate(b"hunter2"):
        mask.typed(bytes([key]), number * MS, RAW)
        mask.printed("•".encode() if number % 2 else b"*", number * MS)
    assert judged(mask, 8 * MS) == (b"", 1)
    mask = InputMask()
    mask.typed(b"hunter2", 0, RAW)
    mask.printed(b"******* hunter2 is taken", 5 * MS)
    assert judged(mask, 8 * MS) == (b"", 1)


def test_an_editor_may_show_keys_late_and_in_parts():
    """Over a slow line several keys are on their way at once."""
    mask = InputMask()
    ended_us = type_keys(mask, b"make", every_us=5 * MS)
    for part in (b"m", b"ak", b"e"):
        mask.printed(part, ended_us + 50 * MS)
    assert judged(mask, ended_us + 51 * MS) == (b"make", 0)


def test_a_command_key_without_text_does_not_mask_the_text_after_it():
    """`i` of vim shows another word; the letters that follow it are shown."""
    mask = InputMask()
    type_keys(mask, b"i")
    mask.printed(b"\x1b[24;1H-- INSERT --", 5 * MS)
    for number, key in enumerate(b"hello"):
        mask.typed(bytes([key]), (40 + number) * MS, RAW)
        mask.printed(bytes([key]) + b"\x1b[24;60H1,2  All", (40 + number) * MS)
    assert judged(mask, 2 * SHOWN_WITHIN_US) == (b"hello", 1)


def test_of_a_long_paste_the_beginning_is_enough():
    """Keys typed behind it are looked for behind it."""
    mask = InputMask()
    paste = b"a line of seventy letters and more of which an editor shows what it has room for"
    mask.typed(paste, 0, RAW)
    mask.typed(b"xy", 1 * MS, RAW)
    mask.printed(paste[:60] + b"...xy", 5 * MS)
    assert judged(mask, 6 * MS) == (paste + b"xy", 0)


def test_stars_may_be_typed():
    """A pattern of a shell is no password."""
    mask = InputMask()
    for number, key in enumerate(b"ls *.py"):
        mask.typed(bytes([key]), number * MS, RAW)
        mask.printed(bytes([key]), number * MS)
    assert judged(mask, 8 * MS) == (b"ls *.py", 0)


def test_a_line_editor_may_wrap_and_colour_what_it_shows():
    """Escapes, spaces and line ends between the letters do not matter."""
    mask = InputMask()
    mask.typed(b"git log --oneline", 0, RAW)
    mask.printed(b"\x1b[1mgit\x1b[0m lo", 1 * MS)
    mask.printed(b" \rg --one\x1b[Kline", 2 * MS)
    mask.observe(3 * MS, RAW, 0)
    assert data(mask.take(3 * MS)) == b"git log --oneline"


def test_keys_without_text_are_kept():
    """Arrows, Enter and control keys are no secret, and wait for nothing."""
    mask = InputMask()
    mask.typed(b"\x1b[A\x1bOB\r\x03\t", 0, RAW)
    assert data(mask.take(0)) == b"\x1b[A\x1bOB\r\x03\t"


actions = st.lists(
    st.tuples(
        st.sampled_from(["type", "print", "look"]),
        st.binary(min_size=1, max_size=6),
        st.sampled_from([LINES, PROMPT, RAW]),
        st.integers(0, 400 * MS),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(actions)
@settings(deadline=None, max_examples=300)
def test_whatever_happens_output_is_whole_and_input_is_never_invented(steps):
    """Output comes out in order with nothing lost but echo of what is masked; times never go back; nothing remains."""
    mask, now_us, pieces, typed = InputMask(), 0, [], b""
    for action, text, mode, step_us, unread in steps:
        now_us += step_us
        if action == "type":
            mask.typed(text, now_us, mode)
            typed += text
        elif action == "print":
            mask.printed(text, now_us)
        else:
            mask.observe(now_us, mode, unread)
        pieces += mask.take(now_us)
    pieces += mask.finish(now_us, 0)
    assert not mask.pending
    assert [piece.time_us for piece in pieces] == sorted(piece.time_us for piece in pieces)
    assert all(piece.data == b"" for piece in pieces if piece.masked)
    kept = [piece.data for piece in pieces if piece.kind == "input" and not piece.masked]
    assert all(part in typed for part in kept)
    printed = b"".join(text for action, text, *_ in steps if action == "print")
    assert len(data(pieces, "output")) <= len(printed)
    if not any(action == "type" for action, *_ in steps):
        assert data(pieces, "output") == printed
