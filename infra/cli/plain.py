"""Text that somebody else wrote, as a terminal may be given it: recorded words, names of endpoints, reasons.

Never lets a control character through: what a terminal obeys, it must not be told by who is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_OBEYED = (*range(32), *range(127, 160))
_DIRECTION = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)

_BLANKS: dict[int, str] = dict.fromkeys(_OBEYED, " ") | dict.fromkeys(_DIRECTION, "")
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DIRECTION)}


def plain_line(text: str) -> str:
    """`text` on one line, without what a terminal would obey."""
    return " ".join(text.translate(_BLANKS).split())


def plain_json(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """`value` as JSON that people can read: of all languages' letters, but with what a terminal obeys escaped."""
    return json.dumps(value, indent=indent, default=default, ensure_ascii=False).translate(_ESCAPES)
