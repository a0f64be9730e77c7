"""Saved searches: what a page asks for, under a name, for oneself or for all who may search.

Never holds a result, and never changes another's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import asyncpg
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, Problem, not_found
from gateway.api.services import Serving
from gateway.api.times import to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

router = APIRouter(prefix="/search/saved")

MAX_QUERY_BYTES = 4096
MOST_SAVED = 500
"""Of one account."""

_TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "that name is taken, or there are too many"}
}

Searcher = Annotated[Principal, needs(Permission.SEARCH)]
SavedId = Annotated[int, Path(ge=1, le=2**62)]

_COLUMNS = "saved_id, owner, owner_name, name, query, shared, changed_at"
_LIST = f"SELECT {_COLUMNS} FROM saved_search WHERE owner = $1 OR shared ORDER BY lower(name), saved_id LIMIT 2000"  # noqa: S608 - a constant
_ADD = f"""
INSERT INTO saved_search (owner, owner_name, name, query, shared)
SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM saved_search WHERE owner = $1) < $6
RETURNING {_COLUMNS}"""  # noqa: S608 - likewise
_CHANGE = f"""
UPDATE saved_search SET name = $3, query = $4, shared = $5, changed_at = now()
WHERE saved_id = $1 AND owner = $2 RETURNING {_COLUMNS}"""  # noqa: S608 - likewise


class SavedSearch(BaseModel):
    """What is saved. `query`: the page's own parameters."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    query: dict[str, Any]
    shared: bool = False

    @field_validator("name")
    @classmethod
    def _is_printable(cls, name: str) -> str:
        if not name.isprintable() or not name.strip():
            raise ValueError("a name of printable characters is wanted")
        return name.strip()

    @field_validator("query")
    @classmethod
    def _is_small(cls, query: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(query)
        if len(text.encode()) > MAX_QUERY_BYTES or "\\u0000" in text:
            raise ValueError(f"at most {MAX_QUERY_BYTES} bytes of JSON, without zero characters, can be saved")
        return query


class SavedRow(BaseModel):
    """A saved search; `own`: of this account."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    query: dict[str, Any]
    shared: bool
    own: bool
    owner: str
    changed_ms: int


class SavedList(BaseModel):
    """Saved searches by their names."""

    model_config = ConfigDict(frozen=True)

    saved: list[SavedRow]


@router.get("")
async def list_saved(principal: Searcher, services: Serving) -> SavedList:
    """One's own, and what others share."""
    async with services.database() as connection:
        rows = await connection.fetch(_LIST, principal.account_id)
    return SavedList(saved=[_row(row, principal) for row in rows])


@router.post("", status_code=201, responses=_TAKEN)
async def save(principal: Searcher, services: Serving, body: SavedSearch) -> SavedRow:
    """Save a search; each name once."""
    await _audit(services, principal, "save_search", body)
    values = (principal.account_id, principal.name, body.name, json.dumps(body.query), body.shared)
    try:
        async with services.database() as connection:
            row = await connection.fetchrow(_ADD, *values, MOST_SAVED)
    except asyncpg.UniqueViolationError:
        raise _taken(body.name) from None
    if row is None:
        raise ApiError(409, "too_many", f"{MOST_SAVED} searches are saved: delete some first")
    return _row(row, principal)


@router.put("/{saved_id}", responses=_TAKEN)
async def change_saved(principal: Searcher, services: Serving, saved_id: SavedId, body: SavedSearch) -> SavedRow:
    """Change one's own."""
    await _audit(services, principal, "change_search", body)
    values = (saved_id, principal.account_id, body.name, json.dumps(body.query), body.shared)
    try:
        async with services.database() as connection:
            row = await connection.fetchrow(_CHANGE, *values)
    except asyncpg.UniqueViolationError:
        raise _taken(body.name) from None
    if row is None:
        raise not_found("saved search")
    return _row(row, principal)


@router.delete("/{saved_id}", status_code=204)
async def delete_saved(principal: Searcher, services: Serving, saved_id: SavedId) -> Response:
    """Delete one's own."""
    async with services.database() as connection:
        name = await connection.fetchval(
            "SELECT name FROM saved_search WHERE saved_id = $1 AND owner = $2", saved_id, principal.account_id
        )
        if name is None:
            raise not_found("saved search")
        await services.audit(principal, "delete_search", name)
        await connection.execute(
            "DELETE FROM saved_search WHERE saved_id = $1 AND owner = $2", saved_id, principal.account_id
        )
    return Response(status_code=204)


async def _audit(services: Serving, principal: Principal, action: str, body: SavedSearch) -> None:
    await services.audit(principal, action, body.name, shared="yes" if body.shared else "no")


def _taken(name: str) -> ApiError:
    return ApiError(409, "taken", f"a search of yours is called {name!r} already")


def _row(row: Mapping[str, Any], principal: Principal) -> SavedRow:
    return SavedRow(
        id=row["saved_id"],
        name=row["name"],
        query=json.loads(row["query"]),
        shared=row["shared"],
        own=row["owner"] == principal.account_id,
        owner=row["owner_name"],
        changed_ms=to_ms(row["changed_at"]),
    )
