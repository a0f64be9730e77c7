"""Reading in one process, as an agent does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infra.ocr.screens import Screens
from schemas.errors import MalformedError
from tests.ocr.desk import Desk


def test_lines_appear_once() -> None:
    """A frame tells the lines that it brought, and the next one only what is new."""
    desk = Desk()
    desk.write(40, 60, "Minutes of the meeting")
    with Screens() as screens:
        assert [line["text"] for line in screens.read(desk.frame()).appeared] == ["Minutes of the meeting"]
        desk.write(40, 200, "Second floor of the house")
        assert [line["text"] for line in screens.read(desk.frame()).appeared] == ["Second floor of the house"]


def test_a_change_of_what_was_never_shown_is_refused() -> None:
    """It asks for a key frame."""
    desk = Desk()
    desk.frame()
    desk.write(40, 60, "Minutes of the meeting")
    with Screens() as screens, pytest.raises(MalformedError) as caught:
        screens.read(desk.frame())
    assert caught.value.reason == "no_key_frame"


def test_tesseract_is_not_loaded_before_it_is_needed() -> None:
    """An agent that reads no screens need not have it."""
    program = "import sys, infra.ocr.screens as s; s.Screens().close(); sys.exit('tesserocr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
