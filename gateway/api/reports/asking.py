"""What reports have in common: the question of a request within the account's scope, its audit, its answer as a file.

Never shows anybody whom the account may not see, and never says that they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.errors import ApiError
from gateway.api.times import from_ms
from gateway.reports.files import MEDIA_TYPES, Format, to_csv, to_parquet
from gateway.reports.question import Question
from sinks.envelopes import MAX_TIME_MS

if TYPE_CHECKING:
    from gateway.api.access import Principal
    from gateway.api.services import Services

DAY_MS = 86_400_000
MAX_SPAN_MS = 400 * DAY_MS
MAX_NAMED = 200
"""People whom one entry of the audit names; of more it says how many."""

TimeMs = Annotated[int, Field(ge=0, le=MAX_TIME_MS)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]


class Frozen(BaseModel):
    """A part of a question or an answer."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Wish(Frozen):
    """What every report is asked for: the query of its address."""

    since_ms: TimeMs
    """Milliseconds since 1970, UTC."""
    until_ms: TimeMs
    """Likewise; the moment itself is not in it."""
    person: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    """User names; everybody whom the account may see when none is given."""
    team: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    format: Format = "json"
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


def make_question(
    principal: Principal, wish: Wish, limit: int, *, by: Sequence[str] = ("person",), applications: Sequence[str] = ()
) -> Question:
    """The question within the account's scope; raises `ApiError` 400."""
    if not wish.since_ms < wish.until_ms:
        raise ApiError(400, "bad_time", "the time must begin before it ends")
    if wish.until_ms - wish.since_ms > MAX_SPAN_MS:
        raise ApiError(400, "bad_time", "ask for at most 400 days at once")
    scope = None if principal.persons is None and not wish.person else principal.seen_of(wish.person)
    since, until = from_ms(wish.since_ms), from_ms(wish.until_ms)
    return Question(since, until, by, scope, wish.team, applications, limit=limit, offset=wish.offset)


async def note_report(
    services: Services, principal: Principal, target: str, persons: Iterable[str], wish: Wish | None = None
) -> None:
    """Have in the audit whose report this is, before it is shown."""
    named = sorted(set(persons))
    told = ",".join(named) if len(named) <= MAX_NAMED else "*"
    names = ("since_ms", "until_ms", "format")
    detail = {} if wish is None else {name: str(getattr(wish, name)) for name in names}
    await services.audit(principal, "report", target, persons=told, people=str(len(named)), **detail)


async def as_file(form: Format, name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> Response:
    """The rows as a file to be kept."""
    write = to_csv if form == "csv" else to_parquet
    content = await asyncio.to_thread(write, columns, rows)
    disposition = f'attachment; filename="{name}.{form}"'
    return Response(content, media_type=MEDIA_TYPES[form], headers={"Content-Disposition": disposition})


FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the report",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""What a report may be besides JSON, for its documents."""
