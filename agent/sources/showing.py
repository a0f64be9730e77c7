"""Whether a command that shows by itself has shown what was typed: an editor shows it in one piece and in its order.

Never takes letters that stand here and there in other output for text that was shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NEEDED = 32
"""Bytes of a text that must be shown: of a long one an editor may not show all."""

_ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[()][A-Z0-9]|O[A-Za-z]|.)", re.DOTALL
)
_UNPRINTED = re.compile(rb"[\x00-\x20\x7f]")
_STARS = tuple(star.encode() for star in "*•●")
"""What prompts for passwords show instead of what is typed."""


class State(Enum):
    """What is known of something that was typed."""

    OPEN = "a line that is not finished"
    WAITING = "a finished line that nobody has taken yet"
    AHEAD = "likewise, and nobody was waiting for it"
    UNSHOWN = "text that the command has not shown yet"
    KEPT = "may be kept"
    MASKED = "must not be kept"


@dataclass(slots=True, eq=False)
class Typed:
    """Input that is judged as one; `echoes` of the kernel are still to come.

    `keys`: the command was given each key, not a line. `passed`: other text was shown while this waited to be.
    """

    state: State
    since_us: int
    text: bytes = b""
    keys: bool = False
    shown: bytes = b""
    passed: bool = False
    echoes: int = 0

    @property
    def judged(self) -> bool:
        """Whether it is known what becomes of it."""
        return self.state in (State.KEPT, State.MASKED)


def without_escapes(data: bytes) -> bytes:
    """Output without what moves the cursor and colours."""
    return _ESCAPES.sub(b"", data)


def text_of(data: bytes) -> bytes:
    """What of the keys, or of output, is text; without spaces, since lines are wrapped by them."""
    return _UNPRINTED.sub(b"", without_escapes(data))


def note_shown(typed: Iterable[Typed], data: bytes) -> None:
    """Output came: keep what it shows of the text that waits for it, oldest first; mask what it shows stars for."""
    shown = text_of(data)
    waiting = [one for one in typed if one.state is State.UNSHOWN]
    for line in waiting:
        if not line.keys:
            shown = _match_line(line, shown)
    if shown:
        _match_keys([one for one in waiting if one.keys], shown)


def _match_line(line: Typed, shown: bytes) -> bytes:
    """Look for a line in what was shown, before or now; what was shown behind it, or all."""
    before = len(line.shown)
    line.shown += shown
    at = line.shown.find(line.text)
    if at < 0:
        line.shown = line.shown[-len(line.text) :]
        return shown
    line.state = State.KEPT
    return line.shown[max(at + len(line.text), before) :]


def _match_keys(keys: Sequence[Typed], shown: bytes) -> None:
    """Keys that wait together are shown together, the first of them first, or only those since other text was shown."""
    if not keys:
        return
    if shown.startswith(_STARS) and not keys[0].text.startswith(_STARS):
        for key in keys:
            key.state = State.MASKED
        return
    if _match_together(keys, shown) or _match_together([key for key in keys if not key.passed], shown):
        return
    for key in keys:
        key.passed, key.shown = True, b""


def _match_together(keys: Sequence[Typed], shown: bytes) -> bool:
    """Whether the text of all is in what was shown, or what was shown ends with the beginning of it."""
    if not keys:
        return False
    first, behind = _until_cut(keys)
    whole = b"".join(key.text for key in first)
    seen = first[0].shown + shown
    at = seen.find(whole)
    if at >= 0:
        for key in first:
            key.state = State.KEPT
        if rest := seen[max(at + len(whole), len(seen) - len(shown)) :]:
            _match_together(behind, rest)
        return True
    length = next((length for length in range(min(len(whole), len(seen)), 0, -1) if seen.endswith(whole[:length])), 0)
    for key in first:
        if len(key.text) > length:
            key.shown = key.text[:length]
            break
        length -= len(key.text)
        key.state = State.KEPT
    return first[0].state is State.KEPT or bool(first[0].shown)


def _until_cut(keys: Sequence[Typed]) -> tuple[Sequence[Typed], Sequence[Typed]]:
    """Up to the first long text, of which only the beginning is looked for, and what comes behind it."""
    end = next((at for at, key in enumerate(keys, 1) if len(key.text) >= NEEDED), len(keys))
    return keys[:end], keys[end:]
