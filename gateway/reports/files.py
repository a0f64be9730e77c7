"""Rows as a file: CSV (RFC 4180) and Parquet.

Never lets a name become a formula: what a spreadsheet would run begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal

Format = Literal["json", "csv", "parquet"]
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8; header=present", "parquet": "application/vnd.apache.parquet"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """A header and a line for each row, in UTF-8, lines ended by CR LF; times as ISO 8601 in UTC."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue().encode("utf-8", "replace")


def csv_cell(value: Any) -> Any:
    """A value as a cell: times in UTC, nothing as nothing, and no text that a spreadsheet would run."""
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds")
        case date():
            return value.isoformat()
        case str() if value.startswith(_FORMULA):
            return f"'{value}"
        case _:
            return value


def to_parquet(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """One table, compressed. Call it in a thread: the library is large, and so may the table be."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    table = pa.table({column: pa.array([row.get(column) for row in rows], _TYPES[column]()) for column in columns})
    out = io.BytesIO()
    parquet.write_table(table, out, compression="zstd")
    return out.getvalue()


def _types() -> dict[str, Any]:
    def of(name: str, *arguments: Any) -> Any:
        import pyarrow as pa

        return getattr(pa, name)(*arguments)

    texts = dict.fromkeys(("person", "team", "application", "top_application"), lambda: of("string"))
    moments = dict.fromkeys(("hour", "first_at", "last_at"), lambda: of("timestamp", "ms", "UTC"))
    counts = ("active_ms", "idle_ms", "switches", "people", "applications", "top_ms", "longest_ms", "deep_ms")
    numbers = dict.fromkeys((*counts, "overtime_ms", "days", "weekday", "hour_of_day"), lambda: of("int64"))
    return {**texts, **moments, **numbers, "day": lambda: of("date32")}


_TYPES = _types()
"""The type of each column, made when it is needed."""
