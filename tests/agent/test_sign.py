"""The sign on the person's screen: it is there while somebody watches, above what covers it, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from Xlib import X
from Xlib.display import Display

from agent.sign import RAISE_AGAIN_S, X11Sign, draw_sign

pytestmark = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb: `make test` installs it")


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server of its own."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-noreset", "-screen", "0", "800x600x24"], pass_fds=[write]
    )
    os.close(write)
    with os.fdopen(read) as number:
        yield f":{number.readline().strip()}"
    server.terminate()
    server.wait(10)


def signs(display: str) -> list[Any]:
    """Windows of ours that are shown, with their place."""
    with contextlib.closing(Display(display)) as connection:
        windows = connection.screen().root.query_tree().children
        ours = [one for one in windows if (one.get_wm_class() or ("",))[0] == "sealstream-sign"]
        return [one.get_geometry() for one in ours if one.get_attributes().map_state == X.IsViewable]


def on_top(display: str) -> str:
    with contextlib.closing(Display(display)) as connection:
        return str((connection.screen().root.query_tree().children[-1].get_wm_class() or ("",))[0])


def wait_for(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_stands_in_the_corner_while_there_is_something_to_say(display: str) -> None:
    """It comes, changes its size with its text, and goes."""
    sign = X11Sign(display)
    sign.show("You are being heard live now")
    wait_for(lambda: signs(display))
    (first,) = signs(display)
    assert first.x + first.width == 800 - 16
    sign.show("Your screen is being watched live now\nYou are being heard live now")
    wait_for(lambda: signs(display)[0].height > first.height)
    sign.show("")
    wait_for(lambda: not signs(display))
    sign.show("again")
    wait_for(lambda: signs(display))
    sign.show("")
    wait_for(lambda: not signs(display))


def test_it_comes_up_again_when_something_covers_it(display: str) -> None:
    """Another window that is put above it stays there for a moment."""
    sign = X11Sign(display)
    sign.show("watched")
    wait_for(lambda: signs(display))
    with contextlib.closing(Display(display)) as connection:
        root = connection.screen().root
        cover = root.create_window(0, 0, 800, 600, 0, connection.screen().root_depth, override_redirect=True)
        cover.map()
        connection.sync()
        wait_for(lambda: on_top(display) == "sealstream-sign")
        time.sleep(RAISE_AGAIN_S)
        cover.configure(stack_mode=X.Above)
        connection.sync()
        wait_for(lambda: on_top(display) == "sealstream-sign")
    sign.show("")
    wait_for(lambda: not signs(display))


def test_without_a_display_nothing_is_shown_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where there is none, nor where there is no longer one."""
    monkeypatch.delenv("DISPLAY", raising=False)
    X11Sign().show("watched")
    sign = X11Sign(":9999")
    sign.show("watched")
    wait_for(sign._texts.empty)
    sign.show("")


def test_its_picture_has_a_dot_before_each_line() -> None:
    """Red enough to be seen."""
    picture = draw_sign("one\ntwo")
    spots = [(x, y) for x in range(picture.width) for y in range(picture.height)]
    reds = [y for x, y in spots if picture.getpixel((x, y)) == (0xE5, 0x48, 0x4D)]
    assert min(reds) < picture.height / 2 < max(reds)
