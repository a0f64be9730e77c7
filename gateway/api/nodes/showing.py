"""Every process of ours with its state, and wishing it drained or back.

Never changes a state: a process follows its wish and tells what it then is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.api.times import to_ms
from infra.nodes.wishes import Wanted, Wish, may_drain, put_wish

if TYPE_CHECKING:
    import asyncpg

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])

Seer = Annotated[Principal, needs(Permission.NODES)]
Operator = Annotated[Principal, needs(Permission.MANAGE_NODES)]


class Model(BaseModel):
    """Of this part of the API."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class WishTold(Model):
    """What is wished of a process, by whom."""

    wanted: Literal["serving", "drained"]
    by: str
    reason: str
    at_ms: int


class NodeTold(Model):
    """One process."""

    id: str
    node: str
    role: str
    state: str
    """joined, ready, draining, left or lost: the fold of what was told of it."""
    since_ms: int
    address: str
    version: str
    """Empty for what does not tell one."""
    load: dict[str, float]
    """As it told last, such as `agents`, `cpu` (share of one processor), `machine` (load average)."""
    told_at_ms: int | None
    agents: int
    """Agents that are connected to it."""
    can_drain: bool
    wish: WishTold | None


class NodesAnswer(Model):
    """All processes that were not taken down for good long ago."""

    nodes: list[NodeTold]
    here: str
    """The process that answers."""


class DrainWish(Model):
    """Processes to be drained, or to be taken back."""

    ids: Annotated[list[Annotated[str, Field(min_length=3, max_length=200)]], Field(min_length=1, max_length=100)]
    wanted: Literal["serving", "drained"]
    reason: Annotated[str, Field(max_length=500)] = ""


_SELECT = """
SELECT node_state.*, version, load, told_at, wanted, by_account, reason, at,
       (SELECT count(*) FROM agent WHERE agent.gateway = node_id AND agent.connected) AS agents
FROM node_state LEFT JOIN node_report USING (node_id) LEFT JOIN node_wish USING (node_id)
WHERE state <> 'left' OR since > now() - interval '7 days'
ORDER BY node_id"""


@router.get("")
async def list_nodes(_principal: Seer, services: Serving) -> NodesAnswer:
    """Every process: its state and since when, its address, version and load, and what is wished of it."""
    async with services.database() as connection:
        rows = await connection.fetch(_SELECT)
    return NodesAnswer(nodes=[_node(row) for row in rows], here=services.facts.reporter)


@router.post("/wishes")
async def wish(wanted: DrainWish, principal: Operator, services: Serving) -> NodesAnswer:
    """Drain processes, or take them back; they follow within seconds, and keep to it over a restart.

    A drained gateway sends its agents to another, or they spool until there is one; the console goes on. A drained
    worker or sink commits what it has and hands its partitions to the others.
    """
    async with services.database() as connection:
        rows = await connection.fetch("SELECT node_id FROM node_state WHERE node_id = ANY($1)", wanted.ids)
    known = {row["node_id"] for row in rows}
    strange = next((one for one in wanted.ids if one not in known), None)
    if strange is not None:
        raise ApiError(404, "not_found", f"there is no node {strange}")
    fixed = next((one for one in wanted.ids if not may_drain(one)), None)
    if fixed is not None:
        raise ApiError(400, "cannot_drain", f"{fixed} cannot be drained: gateways, workers of streams and sinks can")
    action = "drain_node" if wanted.wanted == "drained" else "resume_node"
    for node_id in dict.fromkeys(wanted.ids):
        await services.audit(principal, action, f"node {node_id}", purpose=wanted.reason)
        async with services.database() as connection:
            await put_wish(connection, Wish(node_id, Wanted(wanted.wanted), principal.name, wanted.reason))
    return await list_nodes(principal, services)


def _node(row: asyncpg.Record) -> NodeTold:
    node_id: str = row["node_id"]
    wished = None
    if row["wanted"]:
        wished = WishTold(wanted=row["wanted"], by=row["by_account"], reason=row["reason"], at_ms=to_ms(row["at"]))
    return NodeTold(
        id=node_id,
        node=node_id.partition("/")[0],
        role=row["role"],
        state=row["state"],
        since_ms=to_ms(row["since"]),
        address=row["address"],
        version=row["version"] or "",
        load=json.loads(row["load"]) if row["load"] else {},
        told_at_ms=to_ms(row["told_at"]) if row["told_at"] else None,
        agents=row["agents"],
        can_drain=may_drain(node_id),
        wish=wished,
    )
