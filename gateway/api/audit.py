"""Who did what, when and why; and whether what is written of it is whole.

Never changes the audit, and never hands it out without writing that down.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.trail import Wanted, names_of, read_trail, walk_trail
from gateway.api.access import Permission, Principal, needs
from gateway.api.services import Services, Serving
from gateway.api.times import from_ms
from gateway.reports.files import csv_cell

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

Auditing = Annotated[Principal, needs(Permission.AUDIT)]
Kept = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]
"""A text as the database can have it: refused before an answer begins that could only be cut."""

MAX_MS = 253_402_300_799_999
_COLUMNS = ("time", "actor", "action", "target", "outcome", "purpose", "detail")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Entry(_Model):
    """One thing that somebody did, or tried."""

    id: str
    time_ms: int
    actor: str
    action: str
    target: str
    purpose: str
    outcome: str
    detail: dict[str, str]


class Trail(_Model):
    """A page, the newest first."""

    entries: list[Entry]
    after: str | None
    """Send it back for the next page; none after the last."""


class Names(_Model):
    """What there is to choose from."""

    actions: list[str]
    actors: list[str]


class VerdictTold(_Model):
    """Whether the audit is whole."""

    checked_at_ms: int
    took_ms: int
    sound: bool
    entries: int
    not_stored_yet: int
    """Entries that Kafka has and the database is about to have."""
    head: str
    """The newest checkpoint, `NUMBER:HASH`: keep it where who writes the database cannot."""
    damage: list[str]


class Filter(BaseModel):
    """Which entries; what is not given does not matter."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    actor: Kept = ""
    """Who did it, or the beginning of that."""
    action: list[Kept] = Field(default=[], max_length=50)
    person: Kept = ""
    """The recorded person concerned, by user name."""
    target: Kept = ""
    """What it was done to, or the beginning of that."""
    outcome: Kept = ""
    since_ms: int | None = Field(default=None, ge=0, le=MAX_MS)
    until_ms: int | None = Field(default=None, ge=0, le=MAX_MS)

    def wanted(self, after: str = "") -> Wanted:
        """As the database is asked."""
        values: dict[str, Any] = self.model_dump(exclude={"action", "limit", "after"})
        return Wanted(actions=self.action, after=after, **values)


class PageFilter(Filter):
    """Which entries, and which page."""

    after: Kept = ""
    limit: int = Field(default=50, ge=1, le=500)


@router.get("")
async def show(_principal: Auditing, services: Serving, query: Annotated[PageFilter, Query()]) -> Trail:
    """Entries, the newest first."""
    async with services.database() as connection:
        entries, after = await read_trail(connection, query.wanted(query.after), query.limit)
    return Trail(entries=[Entry(**entry) for entry in entries], after=after)


@router.get("/names")
async def show_names(_principal: Auditing, services: Serving) -> Names:
    """The actions and actors that there are."""
    async with services.database() as connection:
        return Names(actions=await names_of(connection, "action"), actors=await names_of(connection, "actor"))


@router.get("/verify")
async def verify(_principal: Auditing, services: Serving, *, anew: bool = False) -> VerdictTold:
    """Check the whole audit: hashes, table and Kafka's topic. A verdict is kept for five minutes."""
    verdict = await services.desk.verifier.verify(anew=anew)
    return VerdictTold.model_validate(verdict, from_attributes=True)


@router.get("/csv", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
async def download(principal: Auditing, services: Serving, query: Annotated[Filter, Query()]) -> StreamingResponse:
    """The entries as CSV, the newest first; at most 200,000."""
    wanted = query.wanted()
    told = {name: str(value) for name, value in query.model_dump().items() if value not in ("", [], None)}
    await services.audit(principal, "audit_export", "audit", **{f"only_{name}": text for name, text in told.items()})
    name = f"audit-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(services, wanted), media_type="text/csv; charset=utf-8", headers=headers)


async def _lines(services: Services, wanted: Wanted) -> AsyncIterator[str]:
    yield _line(_COLUMNS)
    async with services.database() as connection, connection.transaction(readonly=True):
        batch: list[str] = []
        async for entry in walk_trail(connection, wanted):
            batch.append(_row(entry))
            if len(batch) >= 200:
                yield "".join(batch)
                batch.clear()
        yield "".join(batch)


def _row(entry: dict[str, Any]) -> str:
    time = from_ms(entry["time_ms"])
    detail = "; ".join(f"{name}={value}" for name, value in sorted(entry["detail"].items()))
    texts = [entry[name] for name in ("actor", "action", "target", "outcome", "purpose")]
    return _line([csv_cell(cell) for cell in (time, *texts, detail)])


def _line(cells: list[str] | tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
