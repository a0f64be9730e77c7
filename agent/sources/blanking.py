"""Windows that a policy excludes, made black in a picture before anyone sees it.

Never leaves one readable in doubt: where it is not known what covers what, the whole window is blanked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.rectangle import Rectangle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent.policy import Policy
    from agent.sources.desktop import ShownWindow

EXCLUDED = "excluded"
"""Stands for the application's name where a window must not be recorded."""


def has_exclusions(policy: Policy) -> bool:
    """Whether there is anything to look for at all."""
    return bool(policy.exclude_applications or policy.exclude_titles)


def find_excluded(windows: Sequence[ShownWindow], policy: Policy) -> list[bool]:
    """For each window whether it is excluded: by its names, or as a menu or dialog of a process that has such a one."""
    by_name = [policy.excludes(shown.window.application, shown.window.title) for shown in windows]
    processes = {shown.window.pid for shown, excluded in zip(windows, by_name, strict=True) if excluded} - {0}
    return [
        excluded or (shown.popup and shown.window.pid in processes)
        for shown, excluded in zip(windows, by_name, strict=True)
    ]


def blank_windows(
    pixels: bytearray, display: Rectangle, lookings: Sequence[Sequence[ShownWindow]], policy: Policy
) -> bool:
    """Blank what excluded windows show of themselves on that display; whether there was anything.

    `lookings`: the windows before and after the pixels were taken, the lowest first. What either has is blanked.
    """
    concerned = [windows for windows in lookings if any(find_excluded(windows, policy))]
    if not concerned:
        return False
    hidden = np.zeros((display.height, display.width), np.bool_)
    for windows in concerned:
        hidden |= _shows_excluded(windows, display, policy)
    if not hidden.any():
        return False
    picture = np.frombuffer(pixels, np.uint32).reshape(display.height, display.width)
    picture[hidden] = 0
    return True


def blank_all(pixels: bytearray) -> None:
    """Blank the whole picture."""
    np.frombuffer(pixels, np.uint8)[:] = 0


def _shows_excluded(windows: Sequence[ShownWindow], display: Rectangle, policy: Policy) -> NDArray[np.bool_]:
    hidden = np.zeros((display.height, display.width), np.bool_)
    for shown, excluded in zip(windows, find_excluded(windows, policy), strict=True):
        if excluded or shown.opaque:
            _of(hidden, shown.area, display)[:] = excluded
    return hidden


def _of(hidden: NDArray[Any], area: Rectangle, display: Rectangle) -> NDArray[Any]:
    left, top = max(area.x - display.x, 0), max(area.y - display.y, 0)
    right, bottom = max(area.right - display.x, 0), max(area.bottom - display.y, 0)
    return hidden[top:bottom, left:right]
