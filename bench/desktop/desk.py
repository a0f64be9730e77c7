"""Scripted screen work: development, browsing, switching between windows, and doing nothing.

Never draws what depends on anything but the seed and the number of the frame.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from bench.desktop import prose
from bench.desktop.scene import Scene
from bench.desktop.typeface import Face
from bench.desktop.widgets import DARK, LIGHT, LIGHT_LCD, lines, photograph, taskbar, window

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = ("c586c0", "dcdcaa", "9cdcfe", "ce9178", "6a9955", "b5cea8")


def development(frames: int, seed: int) -> Iterator[Scene]:
    """A dark editor with coloured code that is typed and scrolled, and a terminal that fills below."""
    rng = random.Random(seed)
    source = prose.code(rng, 400)
    output = [
        f"{rng.choice(('INFO', 'WARN', 'PASS', 'FAIL'))} {prose.words(rng, 6)} {rng.randint(1, 900)} ms"
        for _ in range(120)
    ]
    colours = [rng.choice(_COLOURS) for _ in range(600)]
    face, term = Face("mono", 14), Face("courier", 15)
    for number in range(frames):
        scene = Scene(background="000000")
        left, top, right, bottom = window(scene, (0, 0, 1920, 1044), "worker.py - project - Editor", DARK)
        scene.box((left, top, left + 250, bottom), DARK.panel)
        for row in range(26):
            name = f"{prose._VERBS[row % 10]}_{prose._NOUNS[row * 3 % 10]}.py"  # noqa: SLF001 - our own words
            scene.text(left + 24 + 14 * (row % 3), top + 12 + row * 24, name, DARK.small, DARK.ink)
        split = bottom - 260
        scene.clip((left + 251, top, right, split))
        first = number // 6 * 4
        place = first + 18
        for row in range((split - top) // 20 + 1):
            depth, text = source[first + row]
            if first + row == place:
                text = text[: 7 * (number % 6 + 1)]
                scene.tint((left + 300, top + row * 20, right, top + row * 20 + 20), "2a2d2e")
            scene.text(left + 262, top + 2 + row * 20, f"{first + row + 1:4d}", face, "858585")
            x = left + 312 + depth * 34
            for part, word in enumerate(text.split(" ")):
                x = scene.text(
                    x,
                    top + 2 + row * 20,
                    word + " ",
                    face,
                    colours[(first + row + part) % 600] if part % 2 else DARK.ink,
                )
        scene.clip((left + 251, split, right, bottom))
        scene.box((left + 251, split, right, bottom), "0c0c0c")
        done = 20 + number
        lines(scene, left + 262, split + 8, output[done - 12 : done], term, "cccccc", 20)
        scene.clip()
        taskbar(scene, "14:07", ("Editor", "Terminal", "Browser"))
        yield scene


def web(frames: int, seed: int) -> Iterator[Scene]:
    """Pages with headings, links, small print and photographs, scrolled; a new page every sixteen looks."""
    rng = random.Random(seed)
    pages = [
        [(prose.words(rng, 4).title(), prose.wrapped(rng, 105, 9), rng.randint(1, 9999)) for _ in range(12)]
        for _ in range(frames // 16 + 1)
    ]
    theme = LIGHT_LCD
    for number in range(frames):
        scene = Scene(background="303030")
        left, top, right, bottom = window(scene, (10, 10, 1910, 1034), "News of the day - Browser", theme)
        page = pages[number // 16]
        offset = max(0, number % 16 - 2) * 93
        scene.clip((left, top + 44, right, bottom))
        y = top + 70 - offset
        scene.text(left + 200, y, "The Morning Report", Face("times", 54, True), "111111")
        y += 90
        for row, (head, text, seed_of) in enumerate(page):
            scene.text(left + 200, y, head, Face("noto-serif", 30, True), "12263f")
            scene.text(
                left + 200,
                y + 46,
                f"By {prose.NAMES[row % 12]}, updated {row + 2} minutes ago",
                theme.small,
                theme.faint,
            )
            lines(scene, left + 200, y + 76, text, Face("noto-serif", 16, True), "222222", 25)
            if row % 2 == 0:
                scene.picture((left + 1250, y + 10, left + 1570, y + 230), photograph(seed_of, 320, 220))
                scene.text(
                    left + 1250,
                    y + 236,
                    prose.NAMES[seed_of % 12] + " took this picture",
                    Face("arial", 11, True),
                    "777777",
                )
            scene.text(left + 200, y + 306, "Read more and comment", theme.face, theme.accent)
            scene.tint((left + 200, y + 323, left + 365, y + 324), theme.accent)
            y += 352
        scene.clip()
        scene.box((left, top, right, top + 44), theme.panel)
        scene.box((left + 130, top + 7, right - 200, top + 37), "ffffff", "dadce0")
        scene.text(left + 146, top + 13, f"https://news.example.org/today/{page[0][2]}", theme.face, theme.ink)
        taskbar(scene, "11:32", ("Browser", "Mail"))
        yield scene


def switching(frames: int, seed: int) -> Iterator[Scene]:
    """Four windows: another comes to the front every few looks, and the front one is moved."""
    rng = random.Random(seed)
    looks = (LIGHT, DARK, LIGHT_LCD, LIGHT)
    texts = [prose.wrapped(rng, 80, 30) for _ in looks]
    titles = ("Report", "Terminal", "Contract", "Agenda")
    places = [[120, 60], [700, 130], [300, 300], [900, 420]]
    order = [0, 1, 2, 3]
    for number in range(frames):
        if number % 5 == 0:
            order.append(order.pop(rng.randrange(3)))
        elif number % 5 in {2, 3}:
            places[order[-1]][0] += rng.randint(-60, 60)
            places[order[-1]][1] += rng.randint(-30, 30)
        scene = Scene(background="4b5d67")
        scene.picture((0, 0, 1920, 1044), photograph(7, 1920, 1044))
        for which in order:
            theme = looks[which]
            x, y = places[which]
            left, top, right, bottom = window(scene, (x, y, x + 860, y + 560), titles[which], theme)
            scene.clip((left, top, right, bottom))
            lines(scene, left + 18, top + 14, texts[which], theme.face, theme.ink, 23)
            scene.clip()
        taskbar(scene, "16:45", titles)
        yield scene


def idle(frames: int, seed: int) -> Iterator[Scene]:
    """A document that nobody touches; the clock goes on now and then."""
    rng = random.Random(seed)
    text = prose.wrapped(rng, 100, 40)
    for number in range(frames):
        scene = Scene(background="556070")
        left, top, _, _ = window(scene, (200, 30, 1700, 1020), "Terms and conditions", LIGHT)
        scene.text(left + 120, top + 20, "Terms and Conditions", Face("times", 34), "000000")
        lines(scene, left + 120, top + 80, text, Face("times", 17), "101010", 22)
        taskbar(scene, f"12:{number // 20:02d}", ("Document",))
        yield scene
