"""What was read before, by the pixels of a line: bounded, the least recently used goes first.

Never knows whose screen a line stood on.
"""

from __future__ import annotations

from collections import OrderedDict

_ENTRY_BYTES = 200
"""What an entry costs beside its text."""


class LineCache:
    """Key of a strip to its text; holds at most `max_bytes`."""

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._texts: OrderedDict[bytes, str] = OrderedDict()
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._texts)

    def find(self, key: bytes) -> str | None:
        """The text for that key, or None."""
        text = self._texts.get(key)
        if text is None:
            self.misses += 1
            return None
        self.hits += 1
        self._texts.move_to_end(key)
        return text

    def peek(self, key: bytes) -> str | None:
        """The same, for what is kept besides lines: not counted."""
        text = self._texts.get(key)
        if text is not None:
            self._texts.move_to_end(key)
        return text

    def store(self, key: bytes, text: str) -> None:
        """Keep a text; what was not asked for in the longest time makes room."""
        old = self._texts.pop(key, None)
        if old is not None:
            self.size_bytes -= _cost(old)
        self._texts[key] = text
        self.size_bytes += _cost(text)
        while self.size_bytes > self._max_bytes:
            _, gone = self._texts.popitem(last=False)
            self.size_bytes -= _cost(gone)


def _cost(text: str) -> int:
    return _ENTRY_BYTES + 2 * len(text)
