"""Rows as columns of text, for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infra.cli.plain import plain_line


def render_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """`rows` under `head`, each column as wide as its widest cell."""
    cells = [list(head), *([plain_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
