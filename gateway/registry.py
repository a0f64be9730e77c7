"""The schema registry: three read-only routes with Confluent's API shape, over the ids in `schemas/avro/ids.txt`.

Never takes a schema: ids are given out in the source, where a test checks compatibility.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from schemas.errors import MalformedError
from schemas.records import schema_ids, schema_source
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def subjects() -> dict[str, list[int]]:
    """Schema ids by subject, oldest first: each record by its own name, and `<topic>-value` for Avro topics."""
    by_name: dict[str, list[int]] = {}
    for schema_id, name in sorted(schema_ids().items()):
        by_name.setdefault(name.split("-")[0], []).append(schema_id)
    of_topics = {f"{topic.name}-value": by_name.get(_snake(topic.record)) for topic in TOPICS.values()}
    return by_name | {subject: ids for subject, ids in of_topics.items() if ids}


async def list_subjects(_request: Request) -> Response:
    """`GET /subjects`."""
    return _answer(sorted(subjects()))


async def list_versions(request: Request) -> Response:
    """`GET /subjects/{subject}/versions`."""
    ids = subjects().get(request.path_params["subject"])
    return _answer(list(range(1, len(ids) + 1))) if ids else _missing(40401, "Subject not found")


async def show_version(request: Request) -> Response:
    """`GET /subjects/{subject}/versions/{version}`; the version is a number or `latest`."""
    subject, version = request.path_params["subject"], request.path_params["version"]
    ids = subjects().get(subject)
    if not ids:
        return _missing(40401, "Subject not found")
    number = len(ids) if version == "latest" else int(version) if version.isdecimal() else 0
    if not 1 <= number <= len(ids):
        return _missing(40402, "Version not found")
    schema_id = ids[number - 1]
    return _answer({"subject": subject, "version": number, "id": schema_id, "schema": schema_source(schema_id)})


async def show_schema(request: Request) -> Response:
    """`GET /schemas/ids/{id}`."""
    try:
        return _answer({"schema": schema_source(request.path_params["id"])})
    except MalformedError:
        return _missing(40403, "Schema not found")


ROUTES = [
    Route("/subjects", list_subjects),
    Route("/subjects/{subject}/versions", list_versions),
    Route("/subjects/{subject}/versions/{version}", show_version),
    Route("/schemas/ids/{id:int}", show_schema),
]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _answer(body: Any) -> Response:
    return Response(json.dumps(body), media_type=MEDIA_TYPE)


def _missing(code: int, message: str) -> Response:
    return Response(json.dumps({"error_code": code, "message": message}), status_code=404, media_type=MEDIA_TYPE)
