"""Processors and sinks: what each does, who runs it, how far it is; and stopping and starting what runs them.

Never stops a process by itself: it writes a wish down, which the node's own supervisor follows in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.ops.picture import Away, ComponentRow, Frozen
from gateway.ops.stores import read_components
from infra.stack.wishes import is_stoppable, write_wish

if TYPE_CHECKING:
    from infra.lag import GroupStanding

router = APIRouter(prefix="/api/v1/processors", tags=["processors"])

ROLES = {
    "mine": (
        "mine",
        "streams",
        "Opens what was recorded and reads it: OCR of screens, text of terminals, mail, titles",
    ),
    "streams": ("activity, gaps", "streams", "Sums active and idle time, and tells of holes in recordings"),
    "alerts": ("alerts", "streams", "Compares documents and activity with the rules, and raises alerts"),
    "nodes": ("nodes", "streams", "Watches heartbeats, and tells of nodes that are lost"),
    "sink-disk": ("archive", "sinks-disk", "Writes every envelope into the archive on disk"),
    "sink-postgresql": (
        "postgresql",
        "sinks-postgresql",
        "Writes facts, activity, alerts and the audit into PostgreSQL",
    ),
    "sink-elasticsearch": (
        "elasticsearch",
        "sinks-elasticsearch",
        "Writes documents into Elasticsearch, to be searched",
    ),
}
"""Of each consumer group: what it is called, the beginning of the names of the components that run it, what it does."""

NodeId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
Component = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Topic(Frozen):
    """A topic that a group reads: partitions, and how far behind."""

    topic: str
    partitions: int
    lag: int


class Reader(Frozen):
    """A member of a group, as the broker knows it."""

    client: str
    host: str
    partitions: int


class Processor(Frozen):
    """A consumer group and what it does. `state` is running, partly, stopped, away or idle."""

    group: str
    name: str
    what: str
    state: str
    runs_in: str
    """Beginning of the names of the components that run it; empty for a group that is not ours."""
    topics: list[Topic]
    readers: list[Reader]
    partitions: int
    held: int
    lag: int
    per_s: float | None
    history: list[int]


class ProcessorList(Frozen):
    """Processors and sinks, the components that run them, and stores that cannot be asked."""

    measured_ms: int
    processors: list[Processor]
    components: list[ComponentRow]
    away: list[Away]


class Wish(BaseModel):
    """What is wanted of a component, and why; the reason goes into the audit."""

    wanted: Literal["running", "stopped"]
    purpose: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


@router.get("")
async def show(principal: Annotated[Principal, needs(Permission.PROCESSORS)], services: Serving) -> ProcessorList:  # noqa: ARG001
    """Every processor and sink with its partitions, lag and rate, and the components that run them."""
    async with services.overview.looking() as sampler:
        await sampler.until_read("readers", "tables")
        board, picture = sampler.board, sampler.picture()
    rows = {row.group: row for row in picture.groups}
    standings = {one.group: one for one in board.groups}
    mine = [one for one in picture.components if one.stoppable]
    told = [
        _processor(
            standings[group], mine, per_s=row.per_s, history=row.history, held=row.held, partitions=row.partitions
        )
        for group, row in rows.items()
    ]
    return ProcessorList(
        measured_ms=picture.measured_ms, processors=told, components=picture.components, away=picture.away
    )


@router.post("/components/{node_id}/{component}")
async def wish(
    node_id: NodeId,
    component: Component,
    wanted: Wish,
    principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)],
    services: Serving,
) -> ComponentRow:
    """Stop a worker or a sink in order, or let it run again: its node follows within seconds, and after a restart."""
    async with services.database() as connection:
        known = {(one.node_id, one.component) for one in await read_components(connection)}
        if (node_id, component) not in known:
            raise ApiError(404, "not_found", f"no node told of a component {component} on {node_id}")
        if not is_stoppable(component):
            raise ApiError(
                409, "not_stoppable", f"{component} is not stopped from here: `sealstream down` stops a stack"
            )
        await services.audit(principal, f"component {wanted.wanted}", f"{node_id}/{component}", purpose=wanted.purpose)
        await write_wish(connection, node_id, component, wanted.wanted, principal.actor)
        rows = await read_components(connection)
    await services.overview.read_again()
    return next(one for one in rows if (one.node_id, one.component) == (node_id, component))


def _processor(
    standing: GroupStanding,
    components: list[ComponentRow],
    *,
    per_s: float | None,
    history: list[int],
    held: int,
    partitions: int,
) -> Processor:
    name, runs_in, what = ROLES.get(standing.group, (standing.group, "", "A consumer group that is not one of ours"))
    topics: dict[str, list[int]] = {}
    for row in standing.rows:
        topics.setdefault(row.topic, []).append(row.lag)
    lag = sum(row.lag for row in standing.rows)
    return Processor(
        group=standing.group,
        name=name,
        what=what,
        state=_state(
            standing, [one for one in components if runs_in and one.component.startswith(runs_in)], held, partitions
        ),
        runs_in=runs_in,
        topics=[Topic(topic=topic, partitions=len(lags), lag=sum(lags)) for topic, lags in sorted(topics.items())],
        readers=[
            Reader(client=member.client, host=member.host, partitions=len(member.partitions))
            for member in standing.members
        ],
        partitions=partitions,
        held=held,
        lag=lag,
        per_s=per_s,
        history=history,
    )


def _state(standing: GroupStanding, components: list[ComponentRow], held: int, partitions: int) -> str:
    """In one word, by who holds the partitions and by what is wished."""
    if standing.members:
        return "running" if held >= partitions else "partly"
    if components and all(one.wanted == "stopped" for one in components):
        return "stopped"
    return "away" if components or standing.rows else "idle"
