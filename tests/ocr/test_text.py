"""What can be read: sizes, colours, tables, scans, photographs of pages; and what is not text."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from PIL import Image, ImageFont

from bench.desktop.scene import tokens
from bench.desktop.traces import TRACES
from infra.ocr.cache import LineCache
from infra.ocr.reader import ScreenReader
from schemas.tiles import FrameEncoder, bgra_of
from tests.ocr.desk import MONO, SANS, Desk, noisy, recognizer

PROSE = (
    "The harbour was quiet when the shipment came in", "Every invoice names the person who approved it",
    "We meet on Thursday at nine in the large office", "Nobody had seen the contract before that morning",
    "Please send the report to all members of the group", "Prices rose by seven percent in the second quarter",
    "Her answer came late and did not help us much", "Three boxes were missing from the last delivery",
)  # fmt: skip


def read(image: Image.Image) -> Counter[str]:
    frame = FrameEncoder().encode(bgra_of(image), image.width, image.height, time_us=0)
    assert frame is not None
    text = ScreenReader(LineCache(), recognizer()).read(frame)
    return Counter(token for line in text.appeared for token in tokens(line["text"]))


def recall(image: Image.Image, wanted: tuple[str, ...] = PROSE) -> float:
    words = Counter(token for line in wanted for token in tokens(line))
    return (words & read(image)).total() / words.total()


def page(
    size: int = 16, ink: str = "black", paper: str = "white", font: str = SANS, leading: float = 1.5
) -> Image.Image:
    width = int(ImageFont.truetype(font, size).getlength(max(PROSE, key=len))) + 80
    desk = Desk(width, int(size * leading * len(PROSE)) + 80, paper)
    for row, line in enumerate(PROSE):
        desk.write(40, 40 + int(row * size * leading), line, size, ink, font)
    return desk.image


@pytest.mark.parametrize("size", [11, 13, 16, 20, 28, 40, 64])
@pytest.mark.parametrize("font", [SANS, MONO])
def test_text_of_any_size_is_read(size: int, font: str) -> None:
    """From small print to headings, and on screens of high density."""
    assert recall(page(size, font=font)) >= 0.97


@pytest.mark.parametrize(
    ("ink", "paper"),
    [("#d4d4d4", "#1e1e1e"), ("#999999", "#ffffff"), ("#c00000", "#ffffff"), ("#ffff00", "#0000a0"),
     ("#00a000", "#303030"), ("#5c6370", "#282c34"), ("#0000ff", "#ffffc0")],
)  # fmt: skip
def test_colours_and_low_contrast_are_read(ink: str, paper: str) -> None:
    """Dark themes, links, warnings, greyed-out text."""
    assert recall(page(16, ink, paper)) >= 0.97


def test_tight_lines_are_told_apart() -> None:
    """Lines whose descenders almost touch the next line's ascenders."""
    assert recall(page(15, font=MONO, leading=1.16)) >= 0.95


def test_a_table_with_rules_is_read() -> None:
    """Cells between thin lines, numbers right-aligned."""
    desk = Desk(900, 420)
    cells: list[str] = []
    for row in range(12):
        for column, cell in enumerate((f"Item {row}", "North", f"{row * 137 + 12}.50", "paid", f"2026-11-{row + 10}")):
            left, top = 20 + column * 160, 20 + row * 30
            desk.draw.rectangle((left, top, left + 160, top + 30), outline="#bbbbbb")
            desk.write(left + 8, top + 6, cell, 14)
            cells.append(cell)
    assert recall(desk.image, tuple(cells)) >= 0.97


def test_a_selected_word_is_read() -> None:
    """A highlight behind some words of a line hides none of them."""
    desk = Desk()
    font = ImageFont.truetype(SANS, 16)
    left = 40 + int(font.getlength("Please look at "))
    desk.draw.rectangle((left, 97, left + int(font.getlength("this sentence")), 121), fill="#1a5fb4")
    desk.write(40, 100, "Please look at ")
    desk.write(left, 100, "this sentence", ink="white")
    desk.write(left + int(font.getlength("this sentence ")), 100, "before you answer")
    assert recall(desk.image, ("Please look at this sentence before you answer",)) == 1


def test_a_scanned_page_is_read() -> None:
    """Grain, grey paper and the blur of a scanner."""
    scan = noisy(page(22, "#303030", "#e8e4da").resize((1000, 420), Image.Resampling.BILINEAR), 7)
    assert recall(scan) >= 0.93


def test_a_slanted_photograph_of_a_page_is_read() -> None:
    """A page seen by a camera: turned a little, unevenly lit, compressed."""
    sheet = page(24, "#202020", "#f4f1ea")
    turned = sheet.rotate(1.2, Image.Resampling.BICUBIC, expand=True, fillcolor="#d8d4cc")
    shade = Image.linear_gradient("L").resize(turned.size).point(lambda value: 215 + value // 7)
    lit = Image.composite(turned, Image.new("RGB", turned.size), shade)
    packed = io.BytesIO()
    noisy(lit, 4).save(packed, "JPEG", quality=80)
    assert recall(Image.open(packed)) >= 0.85


def test_a_photograph_without_text_tells_little() -> None:
    """Landscapes are not words."""
    from bench.desktop.widgets import photograph

    assert read(photograph(5, 900, 600)).total() <= 12


def test_an_empty_screen_has_no_text() -> None:
    """One colour, a gradient, a frame around nothing."""
    desk = Desk()
    desk.draw.rectangle((100, 100, 600, 400), outline="black")
    assert read(desk.image).total() == 0
    assert read(Image.linear_gradient("L").resize((640, 480)).convert("RGB")).total() == 0


def test_icons_are_not_joined_with_two_lines() -> None:
    """A picture beside a name and a message leaves both as lines of their own."""
    desk = Desk()
    desk.draw.ellipse((20, 20, 60, 60), fill="#4060c0")
    desk.write(76, 18, "Anna Keller wrote", 15)
    desk.write(76, 42, "Could you look at the second offer today", 15)
    assert recall(desk.image, ("Anna Keller wrote", "Could you look at the second offer today")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chat", "development", "mail", "notes", "spreadsheet", "switching", "web"])
def test_desktop_traces_are_read_well(name: str) -> None:
    """Followed by what appeared and what went alone, the text stays right over frames."""
    encoder, reader = FrameEncoder(), ScreenReader(LineCache(), recognizer())
    visible: Counter[str] = Counter()
    wanted = found = told = wrong = 0
    for number, scene in enumerate(TRACES[name](5, 2)):
        frame = encoder.encode(bgra_of(Image.fromarray(scene.pixels)), scene.width, scene.height, time_us=number)
        if frame is not None:
            text = reader.read(frame)
            visible.update(line["text"] for line in text.appeared)
            visible.subtract(line["text"] for line in text.went)
        got = Counter(token for line in (+visible).elements() for token in tokens(line))
        whole = Counter(word for word, is_whole in scene.tell() if is_whole)
        partial = Counter(word for word, is_whole in scene.tell() if not is_whole)
        wanted, found = wanted + whole.total(), found + (whole & got).total()
        told, wrong = told + got.total(), wrong + (got - whole - partial).total()
    assert found / wanted >= 0.97
    assert 1 - wrong / told >= 0.90
