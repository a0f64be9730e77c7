"""What a frame did to the text of a display.

Never holds pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TextLine = dict[str, Any]
"""A record of `schemas/avro/document.avsc`."""


@dataclass(frozen=True)
class ScreenText:
    """Lines that a frame shows first, and lines that it no longer shows."""

    appeared: list[TextLine] = field(default_factory=list)
    went: list[TextLine] = field(default_factory=list)
