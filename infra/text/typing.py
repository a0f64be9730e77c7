"""What a person typed, as edited: keys in, finished lines out.

Never guesses: a line that history or completion had a hand in is not reported, since only its echo shows it.
"""

from __future__ import annotations

import codecs
import re

MAX_LINE = 4000

_KEY = re.compile(
    r"\x1b\[(?P<numbers>[0-9;?<>=]*)[ -/]*(?P<final>[@-~])|\x1bO(?P<function>[@-~])|\x1b(?P<meta>[^\[O])"
    r"|(?P<text>[^\x00-\x1f\x7f\x1b]+)|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*|O)?\Z")
_EDITS = {
    "\x08": "backspace",
    "\x7f": "backspace",
    "\x15": "kill_before",
    "\x17": "kill_word",
    "\x0b": "kill_after",
    "\x01": "home",
    "\x05": "end",
    "\x02": "left",
    "\x06": "right",
    "\x04": "delete",
}
_ARROWS = {"C": "right", "D": "left", "H": "home", "F": "end"}
_TILDES = {"1": "home", "7": "home", "4": "end", "8": "end", "3": "delete"}
_ENDS = frozenset("\r\n")
_ABANDONS = frozenset("\x03\x1a\x1c")


class LineEditor:
    """One line being typed, with the keys that terminals and readline share."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self.clear()

    def clear(self) -> None:
        """Begin a new line."""
        self._line: list[str] = []
        self._at = 0
        self._certain = True

    @property
    def line(self) -> str:
        """The line so far; empty when it is not certain."""
        return "".join(self._line) if self._certain else ""

    def feed(self, data: bytes) -> list[str]:
        """Take keys; the lines that Enter finished, without empty ones."""
        text = self._pending + self._decoder.decode(data)
        finished: list[str] = []
        at = 0
        while at < len(text):
            key = _KEY.match(text, at)
            if key is None:
                if _UNFINISHED.match(text, at):
                    break
                at += 1
                continue
            at = key.end()
            self._press(key, finished)
        self._pending = text[at:]
        return finished

    def _press(self, key: re.Match[str], finished: list[str]) -> None:
        if key["text"] is not None:
            self._insert(key["text"])
        elif key["control"] is not None:
            self._control(key["control"], finished)
        elif key["final"] == "~":
            self._edit(_TILDES.get(key["numbers"], ""))
        elif key["final"] is not None or key["function"] is not None:
            self._arrow(key["final"] or key["function"])
        elif key["meta"] == "\x7f":
            self._edit("kill_word")

    def _arrow(self, final: str) -> None:
        if final in {"A", "B"}:  # history: what the line holds now is not known
            self.clear()
            self._certain = False
        else:
            self._edit(_ARROWS.get(final, ""))

    def _control(self, control: str, finished: list[str]) -> None:
        if control in _ENDS:
            if self.line.strip():
                finished.append(self.line)
            self.clear()
        elif control in _ABANDONS:
            self.clear()
        elif control in {"\t", "\x10", "\x0e", "\x12", "\x19"}:  # completion, history, search, yank
            self._certain = False
        else:
            self._edit(_EDITS.get(control, ""))

    def _insert(self, text: str) -> None:
        room = MAX_LINE - len(self._line)
        self._line[self._at : self._at] = text[:room]
        self._at += len(text[:room])

    def _edit(self, edit: str) -> None:
        match edit:
            case "backspace" if self._at:
                self._at -= 1
                del self._line[self._at]
            case "delete":
                del self._line[self._at : self._at + 1]
            case "kill_before":
                del self._line[: self._at]
                self._at = 0
            case "kill_after":
                del self._line[self._at :]
            case "kill_word":
                before = "".join(self._line[: self._at]).rstrip()
                start = before.rfind(" ") + 1
                del self._line[start : self._at]
                self._at = start
            case "home":
                self._at = 0
            case "end":
                self._at = len(self._line)
            case "left":
                self._at = max(0, self._at - 1)
            case "right":
                self._at = min(len(self._line), self._at + 1)
