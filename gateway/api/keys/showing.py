"""Seeing KEKs: the table, the files of this node, what other nodes told, what each protects, and the checks.

Never looks into a private file for more than how it is guarded.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, not_found
from gateway.api.keys.models import (
    AssignmentTold,
    FindingsAnswer,
    FindingTold,
    KekTold,
    KeysAnswer,
    PlaceTold,
    ProtectedAnswer,
    ProtectedTold,
)
from gateway.api.services import Services, Serving
from gateway.api.times import to_ms
from infra.commands import run_command
from infra.keys.registry import Registered
from infra.keys.roster import fetch_assignments
from infra.keys.signer import pinned_signers
from infra.keys.table import fetch_rows
from schemas.errors import ConfigError
from schemas.work_factor import pbkdf2_rounds

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

Seer = Annotated[Principal, needs(Permission.KEYS)]


@router.get("")
async def list_keys(_principal: Seer, services: Serving) -> KeysAnswer:
    """Every KEK: what it is for, how far its life is, where its halves are, whom it is assigned to."""
    keys, nodes = await read_keys(services)
    folder = services.settings.keys.dir
    try:
        signers = await asyncio.to_thread(pinned_signers, folder)
    except ConfigError:
        signers = {}  # the checks tell of it
    return KeysAnswer(
        keys=keys,
        node=services.settings.node.id,
        nodes=nodes,
        signers={name: fingerprint.hex() for name, fingerprint in signers.items()},
    )


@router.get("/protects")
async def show_protected(_principal: Seer, services: Serving, *, again: bool = False) -> ProtectedAnswer:
    """What each KEK opens in this node's archive. Counted beside the gateway; `again` counts anew."""
    counted = services.protection.told(again=again)
    return ProtectedAnswer(
        counted_at_ms=counted.counted_at_ms,
        counting=counted.counting,
        problem=counted.problem,
        keys=[ProtectedTold(**row) for row in counted.keys],
    )


@router.get("/checks")
async def check_keys(_principal: Seer, services: Serving) -> FindingsAnswer:
    """Look at all keys of this node: files, permissions, work factors, signers, and whether assignments are signed."""
    ended = await run_command(services.settings, ["keys", "check", "--json"])
    try:
        rows = json.loads(ended.output)
    except ValueError:
        raise ApiError(503, "unavailable", ended.error or "the check did not end as it should") from None
    return FindingsAnswer(findings=[FindingTold(**row) for row in rows])


@router.get("/kek/{name}")
async def show_key(name: str, _principal: Seer, services: Serving) -> KekTold:
    """One KEK."""
    keys, _ = await read_keys(services)
    return next((key for key in keys if key.name == name), None) or _missing()


def _missing() -> KekTold:
    raise not_found("KEK")


async def read_keys(services: Services) -> tuple[list[KekTold], list[str]]:
    """All KEKs, and the nodes that there are."""
    folder = services.settings.keys.dir
    async with services.database() as connection:
        rows = await fetch_rows(connection)
        times = {
            row["pub_datafile"]: (to_ms(row["registered_at"]), to_ms(row["changed_at"]))
            for row in await connection.fetch("SELECT pub_datafile, registered_at, changed_at FROM encryption_kek")
        }
        assignments: dict[str, list[AssignmentTold]] = defaultdict(list)
        for one in await fetch_assignments(connection):
            assignments[one.public].append(
                AssignmentTold(
                    kek=one.public.removesuffix(".pub.pem"),
                    scope=one.scope.value,
                    subject=one.subject,
                    stream=one.stream,
                    break_glass=one.break_glass,
                    always=one.always,
                    blind_index=one.blind_index,
                )
            )
        told, nodes = await _files_told(connection)
    looked = await asyncio.to_thread(lambda: [_look(row, folder) for row in rows])
    here = services.settings.node.id
    keys = [
        KekTold(
            name=row.name,
            purpose=row.purpose.value,
            state=row.state.value,
            successor=row.successor.removesuffix(".pub.pem"),
            registered_at_ms=times[row.public][0],
            changed_at_ms=times[row.public][1],
            assignments=assignments[row.public],
            places=[_place(row, node, files, here) for node, files in sorted(told.items())],
            **facts,
        )
        for row, facts in zip(rows, looked, strict=True)
    ]
    return keys, sorted(nodes | {here})


async def _files_told(connection: Connection) -> tuple[dict[str, dict[str, int]], set[str]]:
    """Key files by node with the time at which it told of them, and every node there is."""
    told: dict[str, dict[str, int]] = defaultdict(dict)
    for row in await connection.fetch("SELECT node, file, told_at FROM node_kek"):
        told[row["node"]][row["file"]] = to_ms(row["told_at"])
    living = await connection.fetch(
        "SELECT DISTINCT split_part(node_id, '/', 1) AS node FROM node_state WHERE state <> 'left'"
    )
    return told, {row["node"] for row in living} | told.keys()


def _place(row: Registered, node: str, files: dict[str, int], here: str) -> PlaceTold:
    return PlaceTold(
        node=node,
        public_half=row.public in files,
        private_half=bool(row.private) and row.private in files,
        told_at_ms=max(files.values(), default=0),
        here=node == here,
    )


def _look(row: Registered, folder: Path) -> dict[str, Any]:
    """What this node's files say of a KEK."""
    key_id, algorithm, problem, rounds = "", "", "", None
    half: Literal["file", "token", "none"] = "token" if row.in_token else "none"
    try:
        recipient = row.recipient(folder)
        key_id, algorithm = recipient.key_id.hex(), f"RSA-{recipient.public_key.key_size}"
        if row.private and not row.in_token and (path := row.private_path(folder)).exists():
            half, rounds = "file", pbkdf2_rounds(path.read_bytes())
    except (ConfigError, OSError) as error:
        problem = str(error)
    return {"key_id": key_id, "algorithm": algorithm, "problem": problem, "private_half": half, "rounds": rounds}
