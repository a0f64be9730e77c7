"""The small parts of OCR: cache, words, strips, components, finding Tesseract's data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from infra.ocr.cache import LineCache
from infra.ocr.components import find_components, find_contrast, join
from infra.ocr.glyphs import Glyph, learn_word, spell_glyphs
from infra.ocr.recognizer import find_tessdata
from infra.ocr.segmentation import find_lines
from infra.ocr.strip import cut_strip, strip_key
from infra.ocr.words import Piece, cut_words, learn_words, match_words
from schemas.errors import ConfigError
from schemas.rectangle import Rectangle
from tests.ocr.desk import SANS, Desk

if TYPE_CHECKING:
    from pathlib import Path


def strip_of(text: str) -> np.ndarray:
    desk = Desk()
    x = 40
    for word in text.split():
        desk.write(x, 40, word)
        x += round(ImageFont.truetype(SANS, 16).getlength(word)) + 6
    pixels = np.asarray(desk.image)
    (line,) = find_lines(pixels)
    strip = cut_strip(pixels, line)
    assert strip is not None
    return strip


@given(st.lists(st.tuples(st.integers(0, 40), st.text(max_size=400)), max_size=200))
def test_the_cache_is_bounded_and_forgets_the_oldest(stores: list[tuple[int, str]]) -> None:
    """It never holds more than it may, counts what it holds, and the last entry is there while it fits."""
    cache = LineCache(max_bytes=4_000)
    for number, text in stores:
        cache.store(bytes([number]), text)
        assert cache.size_bytes <= 4_000
        assert cache.find(bytes([number])) == text
    total = sum(200 + 2 * len(cache.peek(bytes([n])) or "") for n in range(41) if cache.peek(bytes([n])) is not None)
    assert cache.size_bytes == total


def test_what_was_asked_for_stays() -> None:
    """The least recently used goes first."""
    cache = LineCache(max_bytes=1_000)
    for number in range(4):
        cache.store(bytes([number]), "text")
        assert cache.find(b"\0") == "text"
    cache.store(b"\4", "text")
    assert cache.find(b"\0") == "text"
    assert cache.find(b"\1") is None


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60))
def test_join_finds_connected_things(count: int, pairs: list[tuple[int, int]]) -> None:
    """Two things have one label exactly when pairs lead from one to the other."""
    pairs = [(a % count, b % count) for a, b in pairs]
    labels = join(count, np.array([a for a, _ in pairs], np.intp), np.array([b for _, b in pairs], np.intp))
    reach = np.eye(count, dtype=bool)
    for a, b in pairs:
        reach[a, b] = reach[b, a] = True
    for middle in range(count):
        reach |= np.outer(reach[:, middle], reach[middle])
    assert np.array_equal(labels[:, None] == labels[None, :], reach)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 300), st.integers(0, 200))
def test_a_line_is_the_same_strip_wherever_it_stands(x: int, y: int) -> None:
    """Place changes neither the box's size nor the strip's key."""
    desk = Desk(700, 300)
    desk.write(20 + x, 20 + y, "the same line anywhere", 15)
    (line,) = find_lines(np.asarray(desk.image))
    strip = cut_strip(np.asarray(desk.image), line)
    assert strip is not None
    desk = Desk()
    desk.write(40, 40, "the same line anywhere", 15)
    (first,) = find_lines(np.asarray(desk.image))
    expected = cut_strip(np.asarray(desk.image), first)
    assert expected is not None
    assert (line.width, line.height) == (first.width, first.height)
    assert strip_key(strip) == strip_key(expected)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_any_pixels_can_be_segmented(width: int, height: int, seed: int) -> None:
    """Noise of any size makes boxes within the picture, and strips that can be cut."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    for line in find_lines(pixels):
        assert line.x >= 0
        assert line.y >= 0
        assert line.right <= width
        assert line.bottom <= height
        cut_strip(pixels, line)
    find_components(find_contrast(pixels), 16, 8)


def test_two_readings_make_a_word_known() -> None:
    """One reading alone is not believed; then a line of known words needs no reading."""
    cache = LineCache()
    one, other = strip_of("paper for"), strip_of("for paper")
    for _ in range(2):
        pieces = cut_words(cache, one)
        assert [piece.text for piece in pieces] == [None] * 2
        learn_words(cache, pieces, ["paper", "for"], one.shape[0])
    assert [piece.text for piece in cut_words(cache, other)] == ["for", "paper"]


def test_letters_of_known_words_spell_new_ones() -> None:
    """Two readings make a letter known; a word of known letters needs no reading, one with a new letter does."""
    cache = LineCache()
    strip = strip_of("nano dado")
    for _ in range(2):
        learn_words(cache, cut_words(cache, strip), ["nano", "dado"], strip.shape[0])
    assert [piece.text for piece in cut_words(cache, strip_of("dado nona"))] == ["dado", "nona"]
    assert [piece.text for piece in cut_words(cache, strip_of("dado noun"))] == ["dado", None]


def test_letters_that_readings_contradict_are_not_believed() -> None:
    """Two letters that look the same are told apart by reading their word, each time."""
    cache = LineCache()
    bar = Glyph((b"key",), blank=0, rise=9)
    for letter in "lllIllIl":
        learn_word(cache, [bar], letter, ())
    assert spell_glyphs(cache, [bar]) == [None]


def test_a_reading_that_contradicts_known_letters_is_refused() -> None:
    """It is not taken for the words, unless the number of words is all that is asked."""
    cache = LineCache()
    strip = strip_of("nano dado")
    for _ in range(2):
        learn_words(cache, cut_words(cache, strip), ["nano", "dado"], strip.shape[0])
    pieces = cut_words(cache, strip)
    assert match_words(pieces, "nano dado") == ["nano", "dado"]
    assert match_words(pieces, "nano dodo") is None
    assert match_words(pieces, "nano dodo", strict=False) == ["nano", "dodo"]
    assert match_words(pieces, "nanodado", strict=False) is None


def test_a_long_line_of_unknown_letters_is_matched_at_once() -> None:
    """Every letter may be several: the ways to part a reading are too many to try each."""
    pieces = [Piece(0, 9, b"", [], [None] * 60, frozenset(range(60)), None) for _ in range(4)]
    text = " ".join(["ab cd"] * 60)
    assert match_words(pieces, text + " !" * 400) is None
    matched = match_words(pieces, text)
    assert matched is not None
    assert " ".join(matched) == text


def test_a_border_parts_lines() -> None:
    """Words at the two sides of a window's edge are two lines, however near they stand."""
    desk = Desk()
    desk.write(40, 60, "left side")
    desk.write(116, 60, "right side")
    assert len(find_lines(np.asarray(desk.image))) == 1
    desk.wipe(109, 10, 2, 300, paper="grey")
    assert len(find_lines(np.asarray(desk.image))) == 2


def test_a_line_that_an_edge_cuts_through_is_not_read() -> None:
    """What is left of its letters says nothing."""
    desk = Desk()
    desk.write(40, 60, "covered words")
    (line,) = find_lines(np.asarray(desk.image))
    assert cut_strip(np.asarray(desk.image), line) is not None
    desk.wipe(0, 0, 900, line.y + line.height // 2, paper="#505a64")
    (rest,) = find_lines(np.asarray(desk.image))
    assert cut_strip(np.asarray(desk.image), rest) is None


def test_missing_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    with pytest.raises(ConfigError, match="tesseract-ocr-xyz"):
        find_tessdata("xyz")


def test_a_line_at_the_edge_of_the_screen_is_cut_within_it() -> None:
    """No strip reaches beyond the picture."""
    pixels = np.full((20, 30, 3), 255, np.uint8)
    pixels[0:8, 0:9:2] = 0
    strip = cut_strip(pixels, Rectangle(0, 0, 9, 8))
    assert strip is not None
    assert strip.shape == (10, 12)
