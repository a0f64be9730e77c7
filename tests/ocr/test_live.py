"""Real programs on a real X display, read as they are drawn there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import mss
import pytest

from infra.ocr.cache import LineCache
from infra.ocr.reader import ScreenReader
from schemas.tiles import FrameEncoder
from tests.ocr.desk import recognizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb"),
]

TEXT = (
    "The harbour office opens at eight on Thursday", "Invoice 20481 over 1,250.75 is overdue since March",
    "Please send the signed contract back to Greta", "def load_buffer(self, limit: int = 512) -> bytes:",
)  # fmt: skip
PAGE = """<html><body style="font-family: {font}; background: {paper}; color: {ink}; margin: 40px">
<h1>Quarterly report</h1>{lines}<table border=1><tr><td>North<td>4711<td>paid<tr><td>South<td>815<td>open</table>
<form style="margin-top: 20px">
<input size=40 value="a form field with words"><button>Submit order</button></form></body></html>"""


@pytest.fixture
def display() -> Iterator[str]:
    """An X display of 1280 x 900."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=(writing,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as told:
        number = told.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture
def run(display: str) -> Iterator[Callable[..., None]]:
    """Starts programs on the display, and ends them."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        environment = os.environ | {"DISPLAY": display, "NO_AT_BRIDGE": "1"}
        started.append(subprocess.Popen(command, env=environment, stdout=-3, stderr=-3, start_new_session=True))

    yield start
    for process in started:
        os.killpg(process.pid, 15)
        process.wait()


def words(text: str) -> Counter[str]:
    return Counter("".join(c if c.isalnum() else " " for c in text.lower()).split())


def watch(display: str, wanted: Counter[str], share: float, within_s: float = 45) -> float:
    """Look once a second until that share of the words is read; the best share within the time."""
    encoder, reader = FrameEncoder(), ScreenReader(LineCache(), recognizer())
    visible: Counter[str] = Counter()
    best = 0.0
    until = time.monotonic() + within_s
    with mss.MSS(display=display) as grabber:
        while best < share and time.monotonic() < until:
            shot = grabber.grab(grabber.monitors[0])
            frame = encoder.encode(bytearray(shot.raw), shot.width, shot.height, time_us=time.time_ns() // 1000)
            if frame is not None:
                told = reader.read(frame)
                visible.update(line["text"] for line in told.appeared)
                visible.subtract(line["text"] for line in told.went)
            read = words(" ".join((+visible).elements()))
            best = max(best, (wanted & read).total() / wanted.total())
            time.sleep(1)
    return best


@pytest.mark.parametrize("font", ["fixed", "DejaVu Sans Mono:size=11", "Liberation Mono:size=9"])
def test_a_terminal_is_read(display: str, run: Callable[..., None], font: str, tmp_path: Path) -> None:
    """A bitmap font and smoothed ones, light on dark."""
    (tmp_path / "text").write_text("\n".join(TEXT))
    choice = ("-fn", "9x15") if font == "fixed" else ("-fa", font)
    run("xterm", *choice, "-bg", "#101010", "-fg", "#d0d0d0", "-geometry", "90x30", "-e",
        "sh", "-c", f"cat {tmp_path}/text; sleep 100")  # fmt: skip
    assert watch(display, words(" ".join(TEXT)), 0.95) >= 0.95


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize(
    ("font", "paper", "ink"), [("Liberation Sans", "#ffffff", "#222222"), ("Noto Serif", "#1b1f27", "#c8ccd4")]
)
def test_a_page_in_a_browser_is_read(
    display: str, run: Callable[..., None], tmp_path: Path, font: str, paper: str, ink: str
) -> None:
    """Headings, paragraphs, a table, a form, light and dark."""
    lines = "".join(f"<p>{line.replace('>', '&gt;')}</p>" for line in TEXT)
    (tmp_path / "page.html").write_text(PAGE.format(font=font, paper=paper, ink=ink, lines=lines))
    run("chromium", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-sync", "--disable-component-update", f"--user-data-dir={tmp_path}/profile",
        "--window-size=1280,900", "--window-position=0,0", f"file://{tmp_path}/page.html")  # fmt: skip
    more = " Quarterly report North 4711 paid South 815 open a form field with words Submit order"
    wanted = words(" ".join(TEXT) + more)
    assert watch(display, wanted, 0.95) >= 0.95


@pytest.mark.skipif(shutil.which("mousepad") is None, reason="needs mousepad")
def test_an_editor_is_read(display: str, run: Callable[..., None], tmp_path: Path) -> None:
    """A GTK program with its menus."""
    path = tmp_path / "letter.txt"
    path.write_text("\n".join(TEXT))
    run("mousepad", "--disable-server", str(path))
    assert watch(display, words(" ".join(TEXT) + " File Edit Search View Document Help"), 0.95) >= 0.95
