"""How things stand in a terminal session: its title, and whether a full-screen program has the terminal.

Never keeps what was shown: it looks at the few sequences that switch pages or name the window, and no further.
"""

from __future__ import annotations

import re

_SIGHT = re.compile(
    rb"\x1b\[\?(?P<modes>[0-9;]{1,64})(?P<way>[hl])|\x1b\][02];(?P<title>[^\x07\x1b]{0,4000})(?:\x07|\x1b\\)"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[(?:\?[0-9;]{0,64})?|\](?:[02](?:;[^\x07\x1b]{0,4000}\x1b?)?)?)?\Z")
_ALTERNATE = frozenset({b"47", b"1047", b"1049"})
_MAX_TITLE = 1000


class Standing:
    """Follows a session's output, in whatever pieces it comes."""

    def __init__(self) -> None:
        self.title = ""
        self.alternate = False
        """Whether a full-screen program has the terminal."""
        self._rest = b""

    def take(self, output: bytes) -> None:
        """The next piece of output."""
        if not self._rest and b"\x1b" not in output:
            return
        data = self._rest + output
        for sight in _SIGHT.finditer(data):
            if sight["modes"] is None:
                self.title = sight["title"].decode("utf-8", "replace")[:_MAX_TITLE]
            elif not _ALTERNATE.isdisjoint(sight["modes"].split(b";")):
                self.alternate = sight["way"] == b"h"
        unfinished = _UNFINISHED.search(data, max(0, len(data) - 4100))
        self._rest = unfinished[0] if unfinished else b""
