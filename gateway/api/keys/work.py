"""Re-wrapping from the console: begun, followed and cancelled here, done by a command of its own process.

Never opens a private half here: for a KEK of the server the command does, for an end-to-end one its officer.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.keys.models import JobTold, Model, Reason, known_keks
from gateway.api.services import Services, Serving
from gateway.api.times import to_ms
from gateway.jobs import Job
from infra.keys.registry import Purpose, Registered, State, find
from infra.keys.table import fetch_rows

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

KIND = "rewrap"

Seer = Annotated[Principal, needs(Permission.KEYS)]
Keeper = Annotated[Principal, needs(Permission.MANAGE_KEYS)]


class RewrapWish(Model):
    """`to`: the KEK that is to open instead; its successor when not given."""

    to: str = ""
    reason: Reason = ""


class JobAnswer(Model):
    """The newest job, none when there never was one."""

    job: JobTold | None


@router.get("/kek/{name}/rewrap")
async def show_rewrap(name: str, _principal: Seer, services: Serving) -> JobAnswer:
    """How far the re-wrapping of what is sealed to a KEK is, or how it ended."""
    return JobAnswer(job=await _newest(services, name))


@router.post("/kek/{name}/rewrap", status_code=202)
async def begin_rewrap(name: str, wish: RewrapWish, principal: Keeper, services: Serving) -> JobAnswer:
    """Put other wrapped DEKs into this node's archive, so that another KEK opens what this one does now.

    Goes on when the page is closed; may be cancelled and begun again, what is done stays done.
    """
    async with services.database() as connection:
        rows = await fetch_rows(connection)
    with known_keks():
        row = find(rows, name)
        target = find(rows, wish.to or row.successor) if wish.to or row.successor else None
    _require_possible(row, target)
    assert target
    reason = f"{wish.reason or 'no reason given'} (asked by {principal.actor})"
    await services.audit(principal, "rewrap", f"kek {row.name}", purpose=wish.reason, outcome="asked", to=target.name)
    arguments = ["keys", "rewrap", row.name, "--to", target.name, "--json", "--reason", reason]
    await services.jobs.start(KIND, row.name, arguments, by_account=principal.name)
    return JobAnswer(job=await _newest(services, row.name))


@router.delete("/kek/{name}/rewrap", status_code=202)
async def cancel_rewrap(name: str, principal: Keeper, services: Serving) -> JobAnswer:
    """Stop re-wrapping; what is done stays done."""
    await services.audit(principal, "rewrap_cancel", f"kek {name}")
    if not await services.jobs.cancel(KIND, name):
        raise ApiError(409, "not_running", f"nothing is being re-wrapped from {name}")
    return JobAnswer(job=await _newest(services, name))


def _require_possible(row: Registered, target: Registered | None) -> None:
    if row.purpose is Purpose.END_TO_END:
        raise ApiError(
            400,
            "needs_passphrase",
            f"{row.name} opens by a passphrase that the server must not see: its officer runs "
            f"`sealstream keys rewrap {row.name}` on a node that has the archive",
        )
    if target is None:
        raise ApiError(400, "no_successor", f"{row.name} has no successor: say in `to` which KEK is to open instead")
    if target.public == row.public or target.state is not State.ACTIVE or target.purpose is not row.purpose:
        raise ApiError(400, "bad_successor", f"{target.name} ({target.state.value}) cannot take over from {row.name}")


async def _newest(services: Services, name: str) -> JobTold | None:
    jobs = await services.jobs.newest(KIND, name)
    return job_told(jobs[0]) if jobs else None


def job_told(job: Job) -> JobTold:
    """A job as it is told."""
    return JobTold(
        id=str(job.job_id),
        subject=job.subject,
        node=job.node_id,
        by=job.by_account,
        state=job.state,  # type: ignore[arg-type]  # the table knows these alone
        progress=job.progress,
        message=job.message,
        started_at_ms=to_ms(job.started_at),
        ended_at_ms=to_ms(job.ended_at) if job.ended_at else None,
    )
