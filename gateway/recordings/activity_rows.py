"""Activity for the timeline: span by span out of a reader, or by the hour out of PostgreSQL.

Never fails a timeline because activity cannot be opened: that is told as being coarse.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict

from gateway.recordings.asking import Job
from gateway.recordings.places import Wish, find_places
from gateway.recordings.reading import AnswerError
from gateway.recordings.timeline import Period
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from gateway.api.services import Services
    from sinks.postgresql.connection import Connection

log = structlog.get_logger(__name__)

HOUR_MS = 3_600_000

_HOURS = """
SELECT agent_id, hour, application, sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms
FROM activity_span WHERE agent_id = ANY($1) AND hour >= $2 AND hour < $3 GROUP BY agent_id, hour, application
ORDER BY agent_id, hour, active_ms DESC"""


class Activity(BaseModel):
    """What was in front; `idle`: nobody typed or moved."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    from_ms: int
    until_ms: int
    application: str
    title: str
    idle: bool
    paused: bool


async def read_activity(services: Services, wish: Wish) -> tuple[list[Activity], bool]:
    """The spans, and whether there were more than fit."""
    async with services.database() as connection:
        ask = await find_places(connection, wish, Job.ACTIVITY)
    try:
        body, result = await services.recordings.readers.collect(ask)
    except (AnswerError, UnavailableError) as error:
        log.warning("activity_not_opened", reason=str(error))
        return [], True
    rows = json.loads(body)
    return [
        Activity(
            agent_id=str(UUID(hex=agent)),
            from_ms=since,
            until_ms=until,
            application=application,
            title=title,
            idle=idle,
            paused=paused,
        )
        for agent, since, until, application, title, idle, paused in rows
    ], bool(result["cut"])


async def read_hours(connection: Connection, agents: Sequence[UUID], period: Period) -> list[Activity]:
    """Of each hour with activity the application that was used most; idle when nobody was there for most of it."""
    since, until = period.bounds
    rows = await connection.fetch(_HOURS, list(agents), since, until)
    hours: dict[tuple[UUID, int], list[tuple[str, int, int]]] = {}
    for row in rows:
        hour_ms = int(row["hour"].timestamp() * 1000)
        hours.setdefault((row["agent_id"], hour_ms), []).append((row["application"], row["active_ms"], row["idle_ms"]))
    return [
        Activity(
            agent_id=str(agent),
            from_ms=hour_ms,
            until_ms=hour_ms + HOUR_MS,
            application=max(used, key=lambda one: one[1])[0],
            title="",
            idle=sum(one[2] for one in used) > sum(one[1] for one in used),
            paused=False,
        )
        for (agent, hour_ms), used in sorted(hours.items(), key=lambda item: (item[0][1], str(item[0][0])))
    ]
