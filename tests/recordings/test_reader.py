"""What a reader shows is what was recorded: from any moment on, for two reads, and never what is not its to open."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway.recordings import screens
from gateway.recordings.asking import Job
from schemas.canvas import Canvas
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, decode_segment
from schemas.rectangle import Rectangle
from sinks.archive.container import read_blocks
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout, day_of
from sinks.archive.scan import map_file, parse_archive_header
from tests.recordings.recorded import (
    AGENT,
    AGENT_TEXT,
    NOON_MS,
    OFFICER,
    OTHER,
    Camera,
    Recording,
    ask,
    messages,
    picture,
    run,
    tools_for,
)
from tests.sinks.envelopes import identity


def shown(answer: bytes) -> dict[int, np.ndarray]:
    """What the displays show after all of an answer's segments."""
    canvases: dict[int, Canvas] = {}
    for about, body in messages(answer):
        assert not about["sealed"]
        for frame in decode_segment(StreamKind.SCREEN, body):
            canvases.setdefault(frame["display"], Canvas()).draw(frame)
    return {display: canvas.pixels for display, canvas in canvases.items()}


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """Ninety seconds of a screen, with a key frame every 30, between the records of another agent."""
    recording = Recording(tmp_path / "archive")
    recording.screens(range(90))
    mine, recording.batches = recording.batches, []
    recording.screens(range(90), agent=OTHER)
    recording.batches = [[*one, *other] for one, other in zip(mine, recording.batches, strict=True)]
    await recording.store()
    return recording.root


@pytest.mark.parametrize("second", [0, 1, 29, 30, 31, 59, 75, 89])
async def test_screens_begin_whole_at_any_moment(root: Path, second: int) -> None:
    """The first message is what was shown then; with those that follow, the picture is right at every second."""
    answer, result = run(tools_for(root), ask(root, Job.SEGMENTS, second, second + 1, start=True))
    first = messages(answer)[0][0]
    assert first["composed"] is (second > 0)
    assert np.array_equal(shown(answer)[0], np.asarray(picture(second)))
    assert int(str(result["reads"])) <= 2


async def test_a_seek_reads_at_most_twice(root: Path) -> None:
    """Once where the key frame is near; twice where it is in the part of the epoch further back."""
    tools = tools_for(root)
    _, near = run(tools, ask(root, Job.SEGMENTS, 89, 90, start=True, near_s=40))
    assert near["reads"] == 1
    answer, far = run(tools_for(root), ask(root, Job.SEGMENTS, 89, 90, start=True, near_s=5))
    assert far["reads"] == 2
    assert np.array_equal(shown(answer)[0], np.asarray(picture(89)))


async def test_nothing_before_the_key_frame_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before it is read along at most."""
    opened: list[int] = []
    original = Opener.open

    def noting(self: Opener, envelope: bytes) -> object:
        result = original(self, envelope)
        opened.append((result.record.capture_ms - NOON_MS) // 1000)
        return result

    monkeypatch.setattr(Opener, "open", noting)
    run(tools_for(root), ask(root, Job.SEGMENTS, 70, 71, start=True, near_s=70))
    assert min(opened) >= 60 - screens.LOOK_MS // 1000 - 1


async def test_what_was_drawn_once_is_not_drawn_again(root: Path) -> None:
    """The next seek nearby begins with what the first one found."""
    tools = tools_for(root)
    run(tools, ask(root, Job.SEGMENTS, 88, 89, start=True))
    drawn: list[int] = []
    original = Canvas.draw

    def noting(self: Canvas, frame: Record) -> list[Rectangle]:
        drawn.append(frame["time_us"])
        return original(self, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Canvas, "draw", noting)
        answer, _ = run(tools, ask(root, Job.SEGMENTS, 89, 90, start=True))
    assert len(drawn) == 1
    assert np.array_equal(shown(answer)[0], np.asarray(picture(89)))


async def test_the_cache_is_bounded(root: Path) -> None:
    """By bytes; what was used longest ago goes."""
    tools = tools_for(root)
    tools.cache_bytes = 600
    for second in range(31, 59):
        answer, _ = run(tools, ask(root, Job.SEGMENTS, second, second + 1, start=True))
        assert np.array_equal(shown(answer)[0], np.asarray(picture(second)))
    assert tools.pictures.size <= 600


async def test_every_display_is_there(tmp_path: Path) -> None:
    """Also one that has not changed since a key frame in another segment than the others'."""
    recording, camera = Recording(tmp_path), Camera(2)
    epoch = recording.epoch(StreamKind.SCREEN)
    first, second = camera.look(0, key=True)
    recording.add(epoch, 0, [second])
    recording.add(epoch, 0, [first])
    for moment in range(1, 9):
        recording.add(epoch, moment, camera.look(moment)[:1])
    await recording.store()
    answer, _ = run(tools_for(tmp_path), ask(tmp_path, Job.SEGMENTS, 9, 10, start=True))
    pictures = shown(answer)
    assert np.array_equal(pictures[0], np.asarray(picture(8)))
    assert np.array_equal(pictures[1], np.asarray(picture(0, 1)))


async def test_a_display_that_does_not_change_stays_when_another_is_known(tmp_path: Path) -> None:
    """What was drawn of one display long after the key frames does not keep those of the others from being met."""
    recording, camera = Recording(tmp_path), Camera(2)
    epoch = recording.epoch(StreamKind.SCREEN)
    recording.add(epoch, 0, camera.look(0, key=True))
    for moment in range(1, 9):
        recording.add(epoch, moment, camera.look(moment)[:1])
    await recording.store()
    tools = tools_for(tmp_path)
    for _ in range(2):
        answer, _ = run(tools, ask(tmp_path, Job.SEGMENTS, 9, 10, start=True))
        pictures = shown(answer)
        assert np.array_equal(pictures[0], np.asarray(picture(8)))
        assert np.array_equal(pictures[1], np.asarray(picture(0, 1)))


async def test_a_segment_that_began_before_is_cut_at_the_moment(tmp_path: Path) -> None:
    """Its earlier frames are in the whole one, its later ones follow it."""
    recording, camera = Recording(tmp_path), Camera()
    epoch = recording.epoch(StreamKind.SCREEN)
    frames = [*camera.look(0, key=True), *camera.look(1), *camera.look(2)]
    recording.add(epoch, 0, frames, parts=3)
    await recording.store()
    answer, _ = run(tools_for(tmp_path), ask(tmp_path, Job.SEGMENTS, 1, 2, start=True))
    [(about, body)] = messages(answer)
    times = [frame["time_us"] // 1_000_000 - NOON_MS // 1000 for frame in decode_segment(StreamKind.SCREEN, body)]
    assert (about["composed"], times) == (True, [1, 2])
    assert np.array_equal(shown(answer)[0], np.asarray(picture(2)))


async def test_end_to_end_passes_as_it_is(tmp_path: Path) -> None:
    """From the epoch's beginning, marked as before; and never opened, even with the key at hand."""
    recording, camera = Recording(tmp_path), Camera()
    epoch = recording.epoch(StreamKind.SCREEN, to=[OFFICER.recipient])
    for second in range(10):
        recording.add(epoch, second, camera.look(second, key=not second))
    await recording.store()
    wish = ask(tmp_path, Job.SEGMENTS, 8, 10, start=True, near_s=3)
    answer, result = run(tools_for(tmp_path, identity(), OFFICER), wish)
    told = messages(answer)
    assert [about["before"] for about, _ in told] == [True] * 8 + [False] * 2
    assert all(about["sealed"] and about["end_to_end"] for about, _ in told)
    canvas, opener = Canvas(), Opener([OFFICER])
    for _, envelope in told:
        for frame in decode_segment(StreamKind.SCREEN, opener.open(envelope).plaintext):
            canvas.draw(frame)
    assert np.array_equal(canvas.pixels, np.asarray(picture(9)))
    assert (result["sealed"], result["reads"]) == (10, 2)


async def test_what_was_erased_is_gone_at_once(root: Path) -> None:
    """Also for a reader that showed it a moment ago and has the picture."""
    tools = tools_for(root)
    assert messages(run(tools, ask(root, Job.SEGMENTS, 70, 72, start=True))[0])
    HeaderStore(Layout(root)).erase(AGENT, day_of(NOON_MS), NOON_MS)
    assert run(tools, ask(root, Job.SEGMENTS, 70, 72, start=True))[0] == b""
    assert run(tools, ask(root, Job.FRAME, 70, 71, start=True, display=0, width=0))[1]["found"] is False


async def test_what_other_keks_open_is_counted(root: Path) -> None:
    """And not shown."""
    answer, result = run(tools_for(root, Identity.generate(2048)), ask(root, Job.SEGMENTS, 70, 72, start=True))
    assert messages(answer) == []
    assert result["other_keks"] == 2


@pytest.mark.parametrize(("second", "width", "size"), [(0, 0, (160, 100)), (45, 80, (80, 50)), (89, 1000, (160, 100))])
async def test_a_frame_is_the_picture_of_that_moment(
    root: Path, second: int, width: int, size: tuple[int, int]
) -> None:
    """As large as asked for, never larger than the display."""
    wish = ask(root, Job.FRAME, second, second + 1, start=True, display=0, width=width)
    body, result = run(tools_for(root), wish)
    with Image.open(io.BytesIO(body)) as image:
        assert (image.format, image.size) == ("WEBP", size)
        close = np.asarray(image.convert("RGB").resize((160, 100))).astype(int) - np.asarray(picture(second))
    assert abs(close).mean() < 12
    assert (result["found"], result["size"], result["time_ms"]) == (True, [160, 100], NOON_MS + 1000 * second)


async def test_a_display_that_is_not_there_has_no_frame(root: Path) -> None:
    """Nor has a moment before the recording."""
    for wish in (
        ask(root, Job.FRAME, 50, 51, start=True, display=3, width=0),
        ask(root, Job.FRAME, -100, -99, start=True, display=0, width=0),
    ):
        body, result = run(tools_for(root), wish)
        assert (body, result["found"], result["sealed"]) == (b"", False, False)


async def test_envelopes_begin_with_the_epoch(root: Path) -> None:
    """Every one of it, once, in order; and none from after the time."""
    answer, result = run(tools_for(root), ask(root, Job.ENVELOPES, 20, 25, start=True, near_s=5))
    opener, at, seconds = Opener([identity()]), 0, []
    while at < len(answer):
        length = int.from_bytes(answer[at : at + 4], "big")
        seconds.append((opener.open(answer[at + 4 : at + 4 + length]).record.capture_ms - NOON_MS) // 1000)
        at += 4 + length
    assert seconds == list(range(25))
    assert int(str(result["reads"])) <= 2


async def test_terminals_come_with_what_was_before_when_asked(tmp_path: Path) -> None:
    """Marked, so that a page can draw it without showing it as recorded then."""
    recording = Recording(tmp_path)
    epoch = recording.epoch(StreamKind.KEYSTROKES)
    for second in range(4):
        recording.add(epoch, second, [output(second, b"line\r\n")])
    await recording.store()
    kinds = (StreamKind.KEYSTROKES,)
    plain, _ = run(tools_for(tmp_path), ask(tmp_path, Job.SEGMENTS, 2, 4, *kinds))
    whole, _ = run(tools_for(tmp_path), ask(tmp_path, Job.SEGMENTS, 2, 4, *kinds, terminal=True))
    assert [about["before"] for about, _ in messages(plain)] == [False, False]
    assert [about["before"] for about, _ in messages(whole)] == [True, True, False, False]


async def test_text_is_what_a_person_reads(tmp_path: Path) -> None:
    """Terminals and mails with their times; what is end to end only counted."""
    recording = Recording(tmp_path)
    shell, mail = recording.epoch(StreamKind.KEYSTROKES), recording.epoch(StreamKind.EMAIL)
    recording.add(shell, 0, [output(0, b"$ make tea\r\nkettle: on\r\n")])
    recording.add(mail, 1, [message(1, "Dear Ann,\nthe invoice is due.")])
    recording.add(recording.epoch(StreamKind.EMAIL, to=[OFFICER.recipient]), 2, [message(2, "a secret word")])
    await recording.store()
    wish = ask(tmp_path, Job.TEXT, 0, 5, StreamKind.EMAIL, StreamKind.KEYSTROKES)
    text, result = run(tools_for(tmp_path, identity(), OFFICER), wish)
    assert "kettle: on" in text.decode()
    assert "Subject: About 1\n\n    Dear Ann,\n    the invoice is due." in text.decode()
    assert "2026-11-23 12:00:01Z  mail" in text.decode()
    assert "secret" not in text.decode()
    assert result["sealed"] == 1


async def test_activity_is_told_by_spans(tmp_path: Path) -> None:
    """Alike spans that follow each other are one; idle ones are marked."""
    recording = Recording(tmp_path)
    epoch = recording.epoch(StreamKind.ACTIVITY)
    recording.add(epoch, 0, [focus(0, "Editor"), focus(1, "Editor")])
    recording.add(epoch, 2, [focus(2, "Mail"), {**focus(3, "Mail"), "kind": "idle"}])
    await recording.store()
    tools = tools_for(tmp_path)
    wish = ask(tmp_path, Job.ACTIVITY, 0, 10, StreamKind.ACTIVITY)
    body, result = run(tools, wish)
    spans = [
        (row[0], (row[1] - NOON_MS) // 1000, (row[2] - NOON_MS) // 1000, row[3], row[5]) for row in json.loads(body)
    ]
    mine = AGENT.hex()
    assert spans == [(mine, 0, 2, "Editor", False), (mine, 2, 3, "Mail", False), (mine, 3, 4, "Mail", True)]
    assert result["cut"] is False
    assert run(tools, wish)[0] == body, "what was read before says the same"


async def test_what_the_index_does_not_know_yet_is_found(root: Path) -> None:
    """By scanning what follows the indexed bytes, once."""
    tools = tools_for(root)
    wish = ask(root, Job.SEGMENTS, 80, 82, start=True)
    name = next(iter(wish.indexed))
    some = [one for one in (*wish.near, *wish.far) if one.end <= wish.near[0].start]
    cut = wish.near[len(wish.near) // 2].start
    known = [one for one in wish.near if one.end <= cut]
    blind = replace(wish, near=tuple(known), far=tuple(some), indexed={name: block_end(root, name, cut)})
    answer, first = run(tools, blind)
    assert np.array_equal(shown(answer)[0], np.asarray(picture(81)))
    again, second = run(tools, blind)
    assert again == answer
    assert int(str(second["reads"])) < int(str(first["reads"]))


def block_end(root: Path, name: str, before: int) -> int:
    """The end of the last block that ends before that offset."""
    path = Layout(root).find(name)
    assert path
    with map_file(path) as data:
        return max(block.next for block in read_blocks(data, parse_archive_header(data)) if block.next <= before)


def output(second: int, data: bytes) -> dict[str, object]:
    return {
        "time_us": (NOON_MS + 1000 * second) * 1000,
        "session": "s1",
        "kind": "output",
        "data": data,
        "masked": False,
        "columns": 80,
        "rows": 24,
    }


def message(second: int, text: str) -> dict[str, object]:
    return {
        "time_us": (NOON_MS + 1000 * second) * 1000,
        "message_id": f"<{second}@example>",
        "folder": "INBOX",
        "sent_ms": NOON_MS,
        "size": len(text),
        "sender": "helen@example.com",
        "recipients": ["ann@example.com"],
        "subject": f"About {second}",
        "text": text,
        "attachments": [],
    }


def focus(second: int, application: str) -> dict[str, object]:
    return {
        "time_us": (NOON_MS + 1000 * second) * 1000,
        "duration_us": 1_000_000,
        "kind": "focus",
        "application": application,
        "title": "a title",
    }


def test_the_agent_is_named_as_everywhere() -> None:
    """The text form of the id."""
    assert AGENT_TEXT == "00000000-0000-0000-0000-000000000007"
