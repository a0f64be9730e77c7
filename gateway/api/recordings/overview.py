"""Who is recorded, and the timeline of one person.

Never shows content: titles of windows are content, and are audited like it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import not_found
from gateway.api.recordings.scope import STORED, PersonName, TimeMs, check_times, note_view
from gateway.api.services import Serving
from gateway.api.times import to_ms
from gateway.recordings import timeline
from gateway.recordings.activity_rows import Activity, read_activity, read_hours
from gateway.recordings.people import Agent, agents_of_person, find_agents, streams_of
from gateway.recordings.places import Wish
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from gateway.api.services import Services

router = APIRouter()

FINE_MS = 26 * 3_600_000
"""Activity is told span by span for so long a time at most, else by the hour."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class AgentRow(_Frozen):
    """One recorder of a person."""

    agent_id: str
    computer: str
    connected: bool
    first_seen_ms: int
    last_seen_ms: int


class PersonRow(_Frozen):
    """A recorded person."""

    person: str
    computers: list[str]
    agents: list[AgentRow]
    connected: bool
    last_seen_ms: int
    streams: list[str]


class People(_Frozen):
    """Recorded people; `more`: there are others, ask more closely."""

    people: list[PersonRow]
    more: bool


@router.get("/people")
async def list_people(
    principal: Annotated[Principal, needs(Permission.RECORDINGS)],
    services: Serving,
    *,
    query: Annotated[str, Query(max_length=256, pattern=STORED)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> People:
    """The people whom the account may see, those online first. `query`: a part of the person's or computer's name."""
    services.recordings.readers.warm()
    async with services.database() as connection:
        agents = await find_agents(connection, principal.persons, query)
        persons = _by_person(agents)
        shown = persons[:limit]
        ids = [agent.agent_id for _, some in shown for agent in some]
        streams = await streams_of(connection, ids, timeline.STREAMS)
    people = [_person_row(name, some, streams) for name, some in shown]
    return People(people=people, more=len(persons) > limit)


def _by_person(agents: Iterable[Agent]) -> list[tuple[str, list[Agent]]]:
    persons: dict[str, list[Agent]] = {}
    for agent in agents:
        persons.setdefault(agent.user_name, []).append(agent)
    return sorted(
        persons.items(),
        key=lambda item: (
            not any(one.connected for one in item[1]),
            -max(one.last_seen_at for one in item[1]).timestamp(),
        ),
    )


def _person_row(name: str, agents: Sequence[Agent], streams: Mapping[UUID, Sequence[str]]) -> PersonRow:
    there = {stream for agent in agents for stream in streams[agent.agent_id]}
    return PersonRow(
        person=name,
        computers=sorted({agent.computer for agent in agents if agent.computer}),
        agents=[
            AgentRow(
                agent_id=str(agent.agent_id),
                computer=agent.computer,
                connected=agent.connected,
                first_seen_ms=to_ms(agent.first_seen_at),
                last_seen_ms=to_ms(agent.last_seen_at),
            )
            for agent in agents
        ],
        connected=any(agent.connected for agent in agents),
        last_seen_ms=max(to_ms(agent.last_seen_at) for agent in agents),
        streams=[stream for stream in timeline.STREAMS if stream in there],
    )


class TimelineAgent(_Frozen):
    """An agent and its computer."""

    agent_id: str
    computer: str


class SpanRow(_Frozen):
    """A stream was recorded."""

    stream: str
    agent_id: str
    from_ms: int
    until_ms: int
    end_to_end: bool
    envelopes: int
    bytes: int


class GapRow(_Frozen):
    """A known hole in a stream."""

    stream: str
    agent_id: str
    from_ms: int
    until_ms: int
    reason: str
    detail: str


class AlertMark(_Frozen):
    """An alert."""

    at_ms: int
    rule: str
    severity: str
    document_id: str
    agent_id: str


class SessionRow(_Frozen):
    """An agent was connected; `until_ms` null: it is now."""

    agent_id: str
    computer: str
    from_ms: int
    until_ms: int | None


class Timeline(_Frozen):
    """One timeline. `activity_coarse`: by the hour alone."""

    person: str
    since_ms: int
    until_ms: int
    resolution_ms: int
    agents: list[TimelineAgent]
    spans: list[SpanRow]
    gaps: list[GapRow]
    activity: list[Activity]
    activity_coarse: bool
    alerts: list[AlertMark]
    sessions: list[SessionRow]


@router.get("/timeline")
async def show_timeline(
    principal: Annotated[Principal, needs(Permission.RECORDINGS)],
    services: Serving,
    *,
    person: PersonName,
    since_ms: TimeMs,
    until_ms: TimeMs,
) -> Timeline:
    """What was recorded of a person when, what is missing, what was in front, and which alerts there were."""
    check_times(since_ms, until_ms)
    services.recordings.readers.warm()
    period = timeline.Period(since_ms, until_ms)
    agents = await _agents(services, principal, person)
    ids = [agent.agent_id for agent in agents]
    wish = Wish(tuple(one.bytes for one in ids), (StreamKind.ACTIVITY,), since_ms, until_ms)
    await note_view(services, principal, wish, [person])
    async with services.database() as connection:
        spans = await timeline.read_spans(connection, services.recordings.epochs, ids, period)
        gaps = await timeline.read_gaps(connection, ids, period)
        alerts = await timeline.read_alerts(connection, ids, period)
        sessions = await timeline.read_sessions(connection, ids, period)
        recorded = {span.agent_id for span in spans if span.stream == "activity" and not span.end_to_end}
        fine = until_ms - since_ms <= FINE_MS
        hours = [] if fine else await read_hours(connection, ids, period)
    activity, cut = hours, False
    if fine and recorded:
        close = wish._replace(agents=tuple(one.bytes for one in ids if one in recorded))
        activity, cut = await read_activity(services, close)
    return Timeline(
        person=person,
        since_ms=since_ms,
        until_ms=until_ms,
        resolution_ms=period.resolution_ms,
        agents=[TimelineAgent(agent_id=str(one.agent_id), computer=one.computer) for one in agents],
        spans=[SpanRow(**{**one._asdict(), "agent_id": str(one.agent_id)}) for one in spans],
        gaps=[GapRow(**{**one._asdict(), "agent_id": str(one.agent_id)}) for one in gaps],
        activity=activity,
        activity_coarse=not fine or cut,
        alerts=[_alert(row) for row in alerts],
        sessions=[_session(row) for row in sessions],
    )


async def _agents(services: Services, principal: Principal, person: str) -> list[Agent]:
    if principal.may_see(person):
        async with services.database() as connection:
            if agents := await agents_of_person(connection, person):
                return agents
    raise not_found("person")


def _alert(row: Mapping[str, object]) -> AlertMark:
    return AlertMark(
        at_ms=to_ms(row["raised_at"]),  # type: ignore[arg-type]
        rule=str(row["rule_name"] or row["rule"]),
        severity=str(row["severity"] or "medium"),
        document_id=str(row["document_id"]),
        agent_id=str(row["agent_id"]),
    )


def _session(row: Mapping[str, object]) -> SessionRow:
    ended = row["disconnected_at"]
    return SessionRow(
        agent_id=str(row["agent_id"]),
        computer=str(row["computer"]),
        from_ms=to_ms(row["connected_at"]),  # type: ignore[arg-type]
        until_ms=None if ended is None else to_ms(ended),  # type: ignore[arg-type]
    )
