"""Screens and activity of real programs on a real X server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from agent.sources import activity as activity_source
from agent.sources.activity import ActivitySource
from agent.sources.desktop import open_desktop
from agent.sources.screen import ScreenSource
from infra.demo.desktop import PROGRAMS, Desktop
from schemas.canvas import Canvas
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment
from tests.agent.sources.conftest import EVERYTHING, Told

_MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}: `make test` installs them"),
]
SMALL = (800, 600)


class Watched(Told):
    """Frames, drawn as they come."""

    def __init__(self):
        super().__init__()
        self.canvases: dict[int, Canvas] = {}

    async def emit(self, event):
        canvas = self.canvases.setdefault(event["display"], Canvas())
        canvas.draw(event)
        await super().emit(event)

    @property
    def picture(self):
        return self.canvases[0].pixels


@contextlib.asynccontextmanager
async def recording(source, told):
    task = asyncio.create_task(source.run(told.emit, told.current_policy))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def screen_of(desktop):
    return ScreenSource(lambda: open_desktop(desktop.display))


def shows(told, color):
    return lambda: bool(told.canvases) and (told.picture == color).all(axis=2).any()


async def show_color(desktop, title, color):
    """A window of one colour."""
    process = await desktop.start(
        "xterm",
        "-T",
        title,
        "-bg",
        color,
        "-fg",
        color,
        "-cr",
        color,
        "-geometry",
        "20x8+100+100",
        "-e",
        "sleep",
        "600",
    )
    await desktop.find(title)
    return process


async def test_what_is_drawn_is_recorded_soon():
    """The first frame is whole; what appears later comes as tiles within a second, with the window's names."""
    told = Watched()
    async with Desktop(SMALL) as desktop, recording(screen_of(desktop), told):
        await told.until(lambda: told.events)
        assert told.events[0]["key_frame"]
        assert (told.events[0]["width"], told.events[0]["height"]) == SMALL
        await show_color(desktop, "a red window", "#ff0000")
        shown_at = time.monotonic()
        await told.until(shows(told, (255, 0, 0)), "red")
        assert time.monotonic() - shown_at < 2.0  # a second, and what a busy machine adds
        await told.until(lambda: told.events[-1]["title"] == "a red window" or None, "its name")
        later = told.events[1:]
        assert later
        assert not any(frame["key_frame"] for frame in later)
        assert told.events[-1]["application"] == "XTerm"
    assert decode_segment(StreamKind.SCREEN, encode_segment(StreamKind.SCREEN, told.events)) == told.events


async def test_an_idle_screen_costs_nothing():
    """No frames, and no measurable share of a core, while nothing is drawn."""
    told = Watched()
    async with Desktop((1920, 1080)) as desktop, recording(screen_of(desktop), told):
        await told.until(lambda: told.events)
        await asyncio.sleep(1.5)
        frames, cpu, began = len(told.events), sum(os.times()[:2]), time.monotonic()
        await asyncio.sleep(4)
        share = (sum(os.times()[:2]) - cpu) / (time.monotonic() - began)
    assert len(told.events) == frames
    assert share < 0.02


async def test_at_most_two_frames_a_second():
    """However much is drawn, and less when the policy says so."""
    told = Watched()
    async with Desktop(SMALL) as desktop, recording(screen_of(desktop), told):
        await told.until(lambda: told.events)
        await desktop.start("xterm", "-T", "busy", "-e", "sh", "-c", "while :; do date +%N; sleep 0.02; done")
        await desktop.find("busy")
        count, began = len(told.events), time.monotonic()
        await asyncio.sleep(4)
        assert (len(told.events) - count) / (time.monotonic() - began) <= 2.3
        told.policy = replace(EVERYTHING, max_frames_per_second=0.5)
        await asyncio.sleep(1)
        count = len(told.events)
        await asyncio.sleep(4)
        assert len(told.events) - count <= 3


async def test_renew_brings_a_key_frame_at_once():
    """Also on an idle screen: an epoch begins with a whole picture."""
    told = Watched()
    async with Desktop(SMALL) as desktop:
        source = screen_of(desktop)
        async with recording(source, told):
            await told.until(lambda: told.events)
            source.renew()
            await told.until(lambda: len(told.events) > 1)
    assert [frame["key_frame"] for frame in told.events] == [True, True]


async def test_an_excluded_window_is_never_shown():
    """It is black in every frame, its names are not told, and it is seen once the policy allows it."""
    told = Watched()
    told.policy = replace(EVERYTHING, exclude_titles=("*secret*",))
    ever = []
    async with Desktop(SMALL) as desktop, recording(screen_of(desktop), told):
        await told.until(lambda: told.events)
        await show_color(desktop, "top secret", "#ff0000")
        await show_color(desktop, "public", "#00ff00")
        await told.until(shows(told, (0, 255, 0)), "green")
        canvas = Canvas()
        for frame in told.events:
            canvas.draw(frame)
            ever.append((canvas.pixels == (255, 0, 0)).all(axis=2).any())
        assert not any(ever)
        assert not any("secret" in frame["title"] for frame in told.events)
        await desktop.activate(await desktop.find("top secret"))
        await told.until(lambda: told.events[-1]["application"] == "excluded", "the window in front, unnamed")
        assert not shows(told, (255, 0, 0))()
        told.policy = EVERYTHING
        await desktop.activate(await desktop.find("public"))
        await desktop.activate(await desktop.find("top secret"))
        await told.until(shows(told, (255, 0, 0)), "red, allowed")


async def test_nothing_is_recorded_during_a_pause_and_a_key_frame_follows():
    """What happened meanwhile shows only as far as it is still there."""
    told = Watched()
    async with Desktop(SMALL) as desktop, recording(screen_of(desktop), told):
        await told.until(lambda: told.events)
        told.policy = replace(EVERYTHING, paused=True)
        await asyncio.sleep(1.2)
        count = len(told.events)
        await show_color(desktop, "while paused", "#0000ff")
        await asyncio.sleep(1.2)
        assert len(told.events) == count
        told.policy = EVERYTHING
        await told.until(shows(told, (0, 0, 255)), "blue")
        assert told.events[count]["key_frame"]


async def test_another_resolution_begins_with_a_key_frame():
    """A display's size may change at any time."""
    told = Watched()
    async with Desktop((1024, 768)) as desktop, recording(screen_of(desktop), told):
        await told.until(lambda: told.events)
        await desktop.resize(800, 600)
        await told.until(lambda: told.events[-1]["width"] == 800)
        assert told.events[-1]["key_frame"]
        assert told.picture.shape == (600, 800, 3)


async def test_a_display_that_goes_away_is_said():
    """Screen and activity say so with the error that the agent makes a gap of, and can be run again."""
    told = Watched()
    async with Desktop(SMALL) as desktop:
        sources = [screen_of(desktop), ActivitySource(lambda: open_desktop(desktop.display))]
        tasks = [asyncio.create_task(source.run(told.emit, told.current_policy)) for source in sources[:1]]
        tasks.append(asyncio.create_task(sources[1].run(Told().emit, told.current_policy)))
        await told.until(lambda: told.events)
    for task in tasks:
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(task, 20)
    with pytest.raises(UnavailableError):
        await sources[0].run(told.emit, told.current_policy)
    async with Desktop(SMALL) as other:
        sources[0]._opens = lambda: open_desktop(other.display)
        count = len(told.events)
        async with recording(sources[0], told):
            await told.until(lambda: len(told.events) > count)
    assert told.events[count]["key_frame"]


async def test_without_a_display_that_is_said(monkeypatch):
    """A server without a desktop is nothing unusual."""
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UnavailableError, match="DISPLAY"):
        open_desktop()
    with pytest.raises(UnavailableError):
        open_desktop(":987")


@pytest.mark.parametrize("window_manager", [True, False], ids=["openbox", "no window manager"])
async def test_activity_names_what_is_in_front(monkeypatch, window_manager):
    """Application, title and time of each window, with a window manager and without."""
    monkeypatch.setattr(activity_source, "LOOK_S", 0.05)
    told = Told()
    async with (
        Desktop(SMALL, window_manager=window_manager) as desktop,
        recording(ActivitySource(lambda: open_desktop(desktop.display)), told),
    ):
        first, second = await desktop.open_terminal("first window"), await desktop.open_terminal("second window")
        for window in (first, second, first):
            await desktop.activate(window)
            await asyncio.sleep(0.4)
        await desktop.activate(second)
        await told.until(lambda: sum(span["title"] == "first window" for span in told.events) > 1)
    spans = [span for span in told.events if span["title"] in ("first window", "second window")]
    assert {span["application"] for span in spans} == {"XTerm"}
    assert {span["kind"] for span in spans} == {"focus"}
    assert sum(span["duration_us"] for span in spans if span["title"] == "first window") >= 600_000


async def test_idle_begins_and_ends_with_the_person(monkeypatch):
    """Without keys and movement the spans become idle; a key makes them focus again."""
    monkeypatch.setattr(activity_source, "LOOK_S", 0.05)
    told = Told()
    told.policy = replace(EVERYTHING, idle_after_s=1.0)
    async with Desktop(SMALL) as desktop, recording(ActivitySource(lambda: open_desktop(desktop.display)), told):
        await desktop.open_terminal("a terminal")
        await desktop.type("x")
        await asyncio.sleep(1.6)
        await desktop.type("y")
        await told.until(lambda: any(span["kind"] == "idle" for span in told.events))
        await asyncio.sleep(1.2)
        await told.until(lambda: told.events[-1]["kind"] == "focus")


async def test_a_desktop_is_used_as_a_person_uses_it():
    """Terminal, browser page with a form, and editor: what is typed there is on the screen."""
    told = Watched()
    page = '<title>A form</title><body style="background:#fff"><input autofocus style="font:30px sans-serif">'
    async with Desktop((1280, 800)) as desktop, recording(screen_of(desktop), told):
        await desktop.type_in_terminal("echo words > typed.txt; cat typed.txt")
        await desktop.open_page(page, "A form")
        await desktop.fill_form("into the field")
        await desktop.edit_text("a note\nof two lines")
        await desktop.press("ctrl+s")
        await told.until(lambda: (desktop.home / "note-1.txt").read_text().strip() == "a note\nof two lines")
        assert (desktop.home / "typed.txt").read_text() == "words\n"
        await told.until(lambda: {"XTerm", "Chromium", "Mousepad"} <= {event["application"] for event in told.events})
        assert np.count_nonzero(told.picture) > 0
        home = desktop.home
    assert not home.exists()
