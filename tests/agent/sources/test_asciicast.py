"""asciicast files, as asciinema writes them, in and out."""

from __future__ import annotations

import io
import json

import pytest

from agent.sources.asciicast import read_asciicast, write_asciicast
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment

VERSION_2 = """{"version": 2, "width": 80, "height": 24, "timestamp": 1504467315, "command": "/bin/zsh"}
[0.248848, "o", "\\u001b[1;31mHello \\u001b[32mWorld!\\u001b[0m\\n"]
[1.001376, "i", "l"]

[1.2, "m", "a marker"]
[1.5, "r", "100x50"]
[2.143733, "o", "grüß"]
"""
VERSION_1 = json.dumps({"version": 1, "width": 90, "height": 30, "command": "vim", "stdout": [[0.5, "a"], [1.25, "b"]]})


def read(text):
    return list(read_asciicast(io.StringIO(text)))


def test_version_2_becomes_keystrokes():
    """Output, input and resizes with their times, between a start and an end; markers are left out."""
    events = read(VERSION_2)
    assert [event["kind"] for event in events] == ["start", "output", "input", "resize", "output", "end"]
    assert events[0]["data"] == b"/bin/zsh"
    assert events[0]["time_us"] == 1504467315_000_000
    assert events[1]["time_us"] == 1504467315_248_848
    assert events[2]["data"] == b"l"
    assert (events[3]["columns"], events[3]["rows"]) == (100, 50)
    assert (events[4]["columns"], events[4]["data"]) == (100, "grüß".encode())
    back = decode_segment(StreamKind.KEYSTROKES, encode_segment(StreamKind.KEYSTROKES, events))
    assert back == [{**event, "title": "", "alternate": False} for event in events]


def test_version_1_becomes_keystrokes():
    """Its delays are added up; it may stand on one line or on many."""
    for text in (VERSION_1, json.dumps(json.loads(VERSION_1), indent=2)):
        events = read(text)
        assert [(event["kind"], event["time_us"], event["data"]) for event in events] == [
            ("start", 0, b"vim"), ("output", 500_000, b"a"), ("output", 1_750_000, b"b"), ("end", 1_750_000, b""),
        ]  # fmt: skip


def test_there_and_back():
    """What is written is read back the same, but for markers."""
    file = io.StringIO()
    write_asciicast(file, read(VERSION_2))
    again = read(file.getvalue())
    for before, after in zip(read(VERSION_2), again, strict=True):
        assert {**before, "session": "", "time_us": 0} == {**after, "session": "", "time_us": 0}
        assert abs(before["time_us"] - after["time_us"]) < 2


def test_times_never_go_back():
    """A recording whose times do is put in order."""
    events = read('{"version": 2}\n[2, "o", "a"]\n[1, "o", "b"]\n')
    times = [event["time_us"] for event in events]
    assert times == sorted(times)


def test_masked_input_is_not_written():
    """Nothing stands for it: not even that something was typed."""
    event = read(VERSION_2)[2] | {"masked": True, "data": b""}
    file = io.StringIO()
    write_asciicast(file, [event])
    assert len(file.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1"),
        ("junk\n", "line 1"),
        ("[]\n", "not an asciicast"),
        ('{"version": 3}\n', "not an asciicast"),
        ('{"version": 2}\n[1, "o"]\n', "line 2"),
        ('{"version": 2}\n[0, "o", "a"]\n{"no": "event"}\n', "line 3"),
        ('{"version": 2}\n["soon", "o", "a"]\n', "line 2"),
        ('{"version": 2}\n[1e300, "o", "a"]\n', "line 2"),
        ('{"version": 2}\n[true, "o", "a"]\n', "line 2"),
        ('{"version": 1, "stdout": [["x"]]}', "stdout"),
        ('{"version": 2}\n' + "[" * 100_000, "line 2"),
    ],
)
def test_other_files_are_refused_with_the_line(text, says):
    """An operator learns where it goes wrong."""
    with pytest.raises(MalformedError, match=says):
        read(text)
