"""Rolling updates of child nodes from the console: begun, followed and stopped here, done by a command of its own.

Never takes a wheel from a page: it lies in `nodes/wheels` of this node's data directory, or in the nodes' own index.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.keys.models import JobTold
from gateway.api.keys.work import job_told
from gateway.api.nodes.showing import Model
from gateway.api.services import Services, Serving
from infra.nodes.fleet import Fleet, fingerprint, wheel_of
from schemas.errors import ConfigError

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])

Seer = Annotated[Principal, needs(Permission.NODES)]
Operator = Annotated[Principal, needs(Permission.MANAGE_NODES)]

KIND, SUBJECT = "update", "nodes"
WHEELS = "wheels"


class ChildTold(Model):
    """A node that is updated from here."""

    name: str
    address: str
    fingerprint: str
    """Of its pinned host key; empty when there is none."""


class WheelTold(Model):
    """A release that lies on this node."""

    file: str
    version: str
    sha256: str


class UpdateAnswer(Model):
    """What can be updated, by what, and how far the newest roll-out is."""

    nodes: list[ChildTold]
    wheels: list[WheelTold]
    folder: str
    """Where wheels are put to be offered here."""
    job: JobTold | None


class UpdateWish(Model):
    """Which nodes get which release: a wheel of the list, or a version that the nodes' own package index has."""

    names: Annotated[list[Annotated[str, Field(min_length=1, max_length=63)]], Field(max_length=200)] = Field(
        default_factory=list
    )
    """Empty: all."""
    wheel: Annotated[str, Field(max_length=200, pattern=r"^[^/]*$")] = ""
    version: Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Za-z.+!]*$")] = ""
    drain: bool = True
    reason: Annotated[str, Field(max_length=500)] = ""


@router.get("/update")
async def show_update(_principal: Seer, services: Serving) -> UpdateAnswer:
    """The nodes that are updated from here, the releases at hand, and how far the newest roll-out is."""
    return await _told(services)


@router.post("/update", status_code=202)
async def begin_update(wish: UpdateWish, principal: Operator, services: Serving) -> UpdateAnswer:
    """Begin a roll-out: one node at a time, drained first. The first that fails is taken back, and ends it."""
    fleet = Fleet(services.settings)
    nodes = await asyncio.to_thread(fleet.nodes)
    names = wish.names or list(nodes)
    strange = next((name for name in names if name not in nodes), None)
    if strange is not None:
        raise ApiError(404, "not_found", f"{strange} is not updated from here: `sealstream nodes add {strange} …`")
    if not names:
        raise ApiError(400, "no_nodes", "no node is updated from here yet: `sealstream nodes add NAME ssh://user@host`")
    if bool(wish.wheel) == bool(wish.version):
        raise ApiError(422, "bad_request", "say which release: a `wheel` of the list, or a `version`")
    source = ["--version", wish.version]
    if wish.wheel:
        path = fleet.folder / WHEELS / wish.wheel
        await asyncio.to_thread(wheel_of, path)
        source = ["--wheel", str(path)]
    release = wish.wheel or wish.version
    detail = {"nodes": ", ".join(names), "drain": "yes" if wish.drain else "no"}
    await services.audit(
        principal, "update_nodes", f"release {release}", purpose=wish.reason, outcome="asked", **detail
    )
    reason = f"{wish.reason or 'no reason given'} (asked by {principal.actor})"
    arguments = ["nodes", "update", *names, *source, "--json", "--reason", reason]
    arguments += [] if wish.drain else ["--no-drain"]
    await services.jobs.start(KIND, SUBJECT, arguments, by_account=principal.name)
    return await _told(services)


@router.delete("/update", status_code=202)
async def stop_update(principal: Operator, services: Serving) -> UpdateAnswer:
    """Stop a roll-out: the node in hand is finished, no other is begun. Begun again, it goes on after that."""
    await services.audit(principal, "update_stop", "nodes")
    if not await services.jobs.cancel(KIND, SUBJECT):
        raise ApiError(409, "not_running", "no roll-out is under way")
    return await _told(services)


async def _told(services: Services) -> UpdateAnswer:
    fleet = Fleet(services.settings)
    nodes, wheels = await asyncio.to_thread(lambda: (_children(fleet), _wheels(fleet.folder / WHEELS)))
    jobs = await services.jobs.newest(KIND, SUBJECT)
    return UpdateAnswer(
        nodes=nodes,
        wheels=wheels,
        folder=str(fleet.folder / WHEELS),
        job=job_told(jobs[0]) if jobs else None,
    )


def _children(fleet: Fleet) -> list[ChildTold]:
    found: list[ChildTold] = []
    for node in fleet.nodes().values():
        key = fleet.host_key(node)
        found.append(ChildTold(name=node.name, address=node.address, fingerprint=fingerprint(key) if key else ""))
    return found


def _wheels(folder: Path) -> list[WheelTold]:
    found: list[WheelTold] = []
    for path in sorted(folder.glob("*.whl"), reverse=True):
        try:
            version, digest = wheel_of(path)
        except ConfigError:
            continue
        found.append(WheelTold(file=path.name, version=version, sha256=digest))
    return found
