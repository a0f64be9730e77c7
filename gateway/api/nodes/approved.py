"""Approved addresses (R5.1): seen with where each stands, added and removed in the table that all nodes share.

Never takes an address out silently that the settings or a node's file keep in.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.nodes.showing import Model
from gateway.api.services import Services, Serving
from infra.approved import FILE_NAME, Approval, Network, parse_network
from infra.approved_store import add_to_table, read_notes, read_rows, remove_from_table

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])

Seer = Annotated[Principal, needs(Permission.NODES)]
Operator = Annotated[Principal, needs(Permission.MANAGE_NODES)]


class ApprovedTold(Model):
    """One address or network, and where it stands."""

    network: str
    place: Literal["settings", "file", "table"]
    note: str


class ApprovedAnswer(Model):
    """All that may speak to the ports between nodes."""

    approved: list[ApprovedTold]
    says: str = ""
    """What a change did, where that is not plain."""


class Approving(Model):
    """An address, or a network such as 10.1.0.0/16."""

    network: Annotated[str, Field(min_length=2, max_length=64)]
    note: Annotated[str, Field(max_length=200)] = ""


@router.get("/approved")
async def list_approved(_principal: Seer, services: Serving) -> ApprovedAnswer:
    """Which addresses the ports between nodes serve: by this node's settings and file, and the shared table."""
    return ApprovedAnswer(approved=await _read(services))


@router.post("/approved")
async def approve(wish: Approving, principal: Operator, services: Serving) -> ApprovedAnswer:
    """Approve an address on every node; it holds within seconds."""
    network = parse_network(wish.network, "network")
    await services.audit(principal, "approve", str(network), note=wish.note, where="table")
    await add_to_table(services.settings, network, wish.note)
    return ApprovedAnswer(approved=await _read(services))


@router.post("/approved/remove")
async def disapprove(wish: Approving, principal: Operator, services: Serving) -> ApprovedAnswer:
    """Take an address off the shared table; what is connected from there is cut off within seconds."""
    network = parse_network(wish.network, "network")
    await services.audit(principal, "disapprove", str(network), where="table")
    if not await remove_from_table(services.settings, network):
        raise ApiError(404, "not_found", f"{network} does not stand in the shared table")
    left = await _read(services)
    still = next((row for row in left if _covers(parse_network(row.network, "approved"), network)), None)
    says = f"{network} is still approved by {still.network} in the {still.place}" if still else ""
    return ApprovedAnswer(approved=left, says=says)


async def _read(services: Services) -> list[ApprovedTold]:
    settings = services.settings
    fixed = Approval.parse(settings.node.approved, "node.approved")
    filed = await asyncio.to_thread(read_notes, settings.node.data_dir / FILE_NAME)
    rows = await read_rows(settings)
    return [
        *(_told(network, "settings") for network in fixed.networks),
        *(_told(network, "file", note) for network, note in filed),
        *(_told(network, "table", note) for network, note in rows),
    ]


def _told(network: Network, place: Literal["settings", "file", "table"], note: str = "") -> ApprovedTold:
    return ApprovedTold(network=str(network), place=place, note=note)


def _covers(wide: Network, network: Network) -> bool:
    return wide.version == network.version and network.subnet_of(wide)  # type: ignore[arg-type]  # of one version
