"""Windows that are excluded, blanked in pictures."""

from __future__ import annotations

import numpy as np

from agent.policy import Policy
from agent.sources.blanking import blank_windows, find_excluded
from agent.sources.desktop import ShownWindow, Window
from schemas.rectangle import Rectangle

POLICY = Policy(exclude_applications=("vault*",), exclude_titles=("*private*",))
DISPLAY = Rectangle(100, 0, 40, 30)


def shown(application="x", title="y", area=(100, 0, 40, 30), *, opaque=True, popup=False, pid=1):
    return ShownWindow(Window(application, title, pid), Rectangle(*area), opaque, popup)


def blanked(*lookings):
    pixels = bytearray(b"\xff" * (DISPLAY.area * 4))
    found = blank_windows(pixels, DISPLAY, lookings, POLICY)
    picture = np.frombuffer(pixels, np.uint32).reshape(DISPLAY.height, DISPLAY.width) == 0
    assert found == bool(picture.any())
    return picture


def test_an_excluded_window_is_black_and_the_rest_is_not():
    """By application or by title, exactly its rectangle, cut at the display's edges."""
    picture = blanked([shown("VAULT", area=(90, 5, 20, 10))])
    assert picture[5:15, :10].all()
    assert picture.sum() == 100
    assert blanked([shown(title="My Private notes", area=(110, 10, 5, 5))]).sum() == 25


def test_what_covers_it_stays_visible():
    """An opaque window above hides it already."""
    picture = blanked([shown("vault"), shown(area=(100, 0, 40, 10))])
    assert not picture[:10].any()
    assert picture[10:].all()


def test_what_may_be_seen_through_does_not_count():
    """A shaped or translucent window above reveals what is below: blanked with it."""
    assert blanked([shown("vault"), shown(opaque=False)]).all()


def test_either_look_counts():
    """A window that moved while the picture was taken is blanked where it was and where it is."""
    picture = blanked([shown("vault", area=(100, 0, 5, 5))], [shown("vault", area=(110, 0, 5, 5))])
    assert picture.sum() == 50


def test_menus_and_dialogs_of_an_excluded_process_are_excluded():
    """They have no names of their own; another window of the same process is another matter."""
    windows = [shown("vault", pid=5), shown("", "", pid=5, popup=True), shown("", "", pid=6, popup=True), shown(pid=5)]
    assert find_excluded(windows, POLICY) == [True, True, False, False]


def test_nothing_excluded_changes_nothing():
    """The picture stays as it is."""
    assert not blanked([shown(), shown(area=(0, 0, 10, 10))]).any()
