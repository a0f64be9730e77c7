"""Scripted office work: mail, notes, a spreadsheet, a chat.

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

_BAR = ("Mail", "Files", "Notes", "Browser")


def _clock(number: int) -> str:
    return f"{9 + number // 30 % 9:02d}:{number * 2 % 60:02d}"


def mail(frames: int, seed: int) -> Iterator[Scene]:
    """A mail program: a list, a message that is opened every few looks and scrolled, an answer that is typed."""
    rng = random.Random(seed)
    rows = [(rng.choice(prose.NAMES), prose.sentence(rng, 3, 7), f"{rng.randint(1, 28)} Oct") for _ in range(40)]
    bodies = [prose.wrapped(rng, 95, 60) for _ in rows]
    answer = prose.words(rng, 200)
    theme = LIGHT_LCD
    for number in range(frames):
        scene = Scene()
        inner = window(scene, (60, 20, 1860, 1030), "Inbox - Mail", theme)
        left, top, right, bottom = inner
        scene.box((left, top, left + 180, bottom), theme.panel)
        folders = ("Inbox 24", "Drafts", "Sent", "Archive", "Spam", "Invoices", "Travel", "Projects")
        for row, folder in enumerate(folders):
            scene.icon(left + 12, top + 18 + row * 34, 14, "7f8c99", row)
            scene.text(left + 38, top + 16 + row * 34, folder, theme.face, theme.ink)
        opened = number // 8
        scene.clip((left + 181, top, left + 620, bottom))
        for row, (name, subject, day) in enumerate(rows):
            y = top + row * 58
            if row == opened:
                scene.tint((left + 181, y, left + 620, y + 57), theme.selected)
            scene.text(left + 196, y + 8, name, theme.bold if row > opened else theme.face, theme.ink)
            scene.text(left + 550, y + 9, day, theme.small, theme.faint)
            scene.text(left + 196, y + 30, subject, theme.small, theme.faint)
            scene.tint((left + 181, y + 57, left + 620, y + 58), "e3e5e8")
        step = number % 8
        scene.clip((left + 640, top, right, bottom - (220 if step > 3 else 0)))
        offset = min(step, 3) * 45
        scene.text(left + 660, top + 14 - offset, rows[opened][1], Face("arial-bold", 22, True), theme.ink)
        scene.text(left + 660, top + 52 - offset, f"{rows[opened][0]} to me", theme.face, theme.faint)
        lines(scene, left + 660, top + 96 - offset, bodies[opened], theme.face, theme.ink, 22)
        scene.clip()
        if step > 3:
            scene.box((left + 650, bottom - 220, right - 10, bottom - 8), theme.paper, "9aa0a6")
            typed = answer[opened * 90 : opened * 90 + 22 * (step - 3)]
            scene.text(left + 664, bottom - 206, typed, theme.face, theme.ink)
            scene.box((left + 664, bottom - 52, left + 740, bottom - 20), theme.accent)
            scene.text(left + 684, bottom - 46, "Send", theme.bold, "ffffff")
        taskbar(scene, _clock(number), _BAR)
        yield scene


def notes(frames: int, seed: int) -> Iterator[Scene]:
    """A text editor: a page grows by some characters at each look."""
    rng = random.Random(seed)
    text = [line for _ in range(6) for line in (*prose.wrapped(rng, 88, 5), "")]
    start = 18
    flat = "\n".join(text[start:])
    for number in range(frames):
        scene = Scene(background="74858c")
        left, top, right, bottom = window(scene, (300, 60, 1600, 1000), "notes.txt - Editor", LIGHT)
        scene.box((left, top, right, top + 28), LIGHT.panel)
        scene.text(left + 10, top + 5, "File   Edit   Search   View   Document   Help", LIGHT.small, LIGHT.ink)
        shown = text[:start] + flat[: number * 9].split("\n")
        y = lines(scene, left + 16, top + 40, shown, Face("mono", 15), LIGHT.ink, 21)
        if number % 2:
            x = left + 16 + round(Face("mono", 15).length(shown[-1]))
            scene.tint((x + 1, y - 20, x + 2, y - 2), "000000")
        scene.box((left, bottom - 26, right, bottom), LIGHT.panel)
        scene.text(left + 10, bottom - 22, f"Line {len(shown)}, Column {len(shown[-1])}", LIGHT.small, LIGHT.faint)
        taskbar(scene, _clock(number), _BAR)
        yield scene


def spreadsheet(frames: int, seed: int) -> Iterator[Scene]:
    """A table of numbers: cells are filled one by one, totals follow, the sheet scrolls now and then."""
    rng = random.Random(seed)
    heads = ("Item", "Region", "Owner", "Quantity", "Price", "Total", "Status", "Due")
    table = [
        (prose.words(rng, 2), rng.choice(("North", "South", "East", "West")), rng.choice(prose.NAMES),
         str(rng.randint(1, 900)), prose.amount(rng), f"{rng.randint(100, 99999):,}",
         rng.choice(("paid", "open", "overdue")), f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}")
        for _ in range(160)
    ]  # fmt: skip
    wide = (230, 110, 190, 110, 130, 130, 120, 150)
    face, head = Face("arial", 14), Face("arial-bold", 14)
    for number in range(frames):
        scene = Scene(background="3b6e8f")
        left, top, right, bottom = window(scene, (40, 30, 1500, 1010), "forecast.ods - Sheets", LIGHT)
        scene.box((left, top, right, top + 60), LIGHT.panel)
        scene.text(left + 10, top + 6, "File  Edit  View  Insert  Format  Data  Tools  Help", LIGHT.small, LIGHT.ink)
        scene.box((left + 60, top + 30, left + 700, top + 54), "ffffff", "b0b0b0")
        first = number // 12 * 7
        active = first + number % 12
        scene.text(left + 66, top + 34, f"=SUM(F{active}:F{active + 3})", face, LIGHT.ink)
        y = top + 62
        for row in range(-1, (bottom - y) // 24):
            x = left
            index = first + row
            scene.tint((left, y + 23, right, y + 24), "d0d0d0")
            scene.tint((left, y, left + 44, y + 24), "e6e6e6")
            if row >= 0:
                scene.text(left + 10, y + 4, str(index + 1), Face("arial", 12), LIGHT.faint)
            x += 44
            for column, cell in enumerate(heads if row < 0 else table[index]):
                hidden = row >= 0 and index > active + 14 and column > 4
                if not hidden:
                    fill = "b3261e" if cell == "overdue" else LIGHT.ink
                    numeric = column in {3, 4, 5} and row >= 0
                    place = x + wide[column] - 8 - round(face.length(cell)) if numeric else x + 6
                    scene.text(place, y + 4, cell, head if row < 0 else face, fill)
                x += wide[column]
                scene.tint((x - 1, y, x, y + 24), "d0d0d0")
            y += 24
        taskbar(scene, _clock(number), ("Sheets", "Mail"))
        yield scene


def chat(frames: int, seed: int) -> Iterator[Scene]:
    """A dark chat: messages come in from below and push the others up; a picture among them."""
    rng = random.Random(seed)
    theme = DARK
    said = [
        (rng.choice(prose.NAMES), prose.wrapped(rng, 84, rng.randint(1, 3)), rng.random() < 0.06) for _ in range(90)
    ]
    typed = prose.words(rng, 60)
    for number in range(frames):
        scene = Scene(background="101418")
        left, top, right, bottom = window(scene, (200, 40, 1700, 1020), "general - Chat", theme)
        scene.box((left, top, left + 240, bottom), theme.panel)
        for row, channel in enumerate(("general", "random", "support", "release", "incidents", "lunch")):
            scene.text(left + 20, top + 20 + row * 32, f"# {channel}", theme.face, theme.faint)
        for row, name in enumerate(prose.NAMES):
            scene.icon(left + 20, top + 260 + row * 34, 12, "3fb950" if row % 3 else "6e7681", 0)
            scene.text(left + 42, top + 256 + row * 34, name, theme.face, theme.ink)
        scene.clip((left + 241, top, right, bottom - 70))
        y = bottom - 80
        last = 24 + number // 3
        for index in range(last, -1, -1):
            name, text, picture = said[index]
            y -= len(text) * 22 + 34 + (170 if picture else 0)
            if y < top - 300:
                break
            scene.picture((left + 262, y + 2, left + 298, y + 38), photograph(len(name), 36, 36))
            end = scene.text(left + 312, y, name, theme.bold, theme.accent)
            scene.text(end + 14, y + 2, f"{8 + index // 60:02d}:{index % 60:02d}", theme.small, theme.faint)
            below = lines(scene, left + 312, y + 23, text, theme.face, theme.ink, 22)
            if picture:
                scene.picture((left + 312, below, left + 572, below + 160), photograph(index, 260, 160))
        scene.clip()
        scene.box((left + 260, bottom - 58, right - 20, bottom - 14), "2d2d30", "4a4a4f")
        scene.text(
            left + 276,
            bottom - 46,
            typed[number // 3 * 20 : number // 3 * 20 + 12 * (number % 3)],
            theme.face,
            theme.ink,
        )
        taskbar(scene, _clock(number), ("Chat", "Mail", "Calendar"))
        yield scene
