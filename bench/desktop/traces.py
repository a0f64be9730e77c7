"""The table of scripted recordings.

Never changes what an older name draws: figures of different days are compared by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.desktop import desk, office

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.desktop.scene import Scene

TRACES: dict[str, Callable[[int, int], Iterator[Scene]]] = {
    "chat": office.chat,
    "development": desk.development,
    "idle": desk.idle,
    "mail": office.mail,
    "notes": office.notes,
    "spreadsheet": office.spreadsheet,
    "switching": desk.switching,
    "web": desk.web,
}
"""Name to a function of the number of frames (one a second) and a seed."""

FRAMES = 64
"""Of each trace in a full run: 512 in all."""
