"""Changing KEKs: register an uploaded public half, make one for the server, rotate, retire, revoke.

Never takes a private half: a request that holds one is refused, and what it held is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.keys.models import Done, KeyName, Model, Reason, known_keks
from gateway.api.services import Services, Serving
from infra.commands import run_command
from infra.keys import rotation
from infra.keys.files import PRIVATE_SUFFIX, PUBLIC_SUFFIX, place_public
from infra.keys.registry import Purpose, Registered, find, save_copy
from infra.keys.table import add_row, change_row, fetch_rows
from schemas.errors import ConfigError, UnavailableError
from schemas.keys import Recipient

if TYPE_CHECKING:
    from pathlib import Path

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

Keeper = Annotated[Principal, needs(Permission.MANAGE_KEYS)]
Move = Callable[[Sequence[Registered]], list[Registered]]


class Registration(Model):
    """A KEK's public half to be registered; without `pem`, of a file that lies in the folder of keys already."""

    name: KeyName
    purpose: Literal["server", "end_to_end"] = "end_to_end"
    pem: Annotated[str, Field(max_length=16_384)] = ""
    reason: Reason = ""


class Making(Model):
    """A KEK of the server to be made on this node."""

    name: KeyName
    bits: Literal[2048, 3072, 4096] = 3072
    reason: Reason = ""


class RotationWish(Model):
    """One step of a rotation; `begin` names the KEK that takes the place."""

    step: Literal["begin", "finish", "back"]
    successor: str = ""
    reason: Reason = ""


class RetireWish(Model):
    """`give_up`: even though the archive has epochs that only it opens."""

    give_up: bool = False
    reason: Reason = ""


class RevokeWish(Model):
    """Why, which must be said: what only it opens is lost to everybody."""

    reason: Annotated[str, Field(min_length=3, max_length=500)]


@router.post("/register")
async def register(wish: Registration, principal: Keeper, services: Serving) -> Done:
    """Register a KEK by its public half. Used within seconds; an end-to-end one once it is assigned and signed."""
    if "PRIVATE" in wish.pem.upper():
        raise ApiError(
            400,
            "private_key",
            "this holds a private key, and nothing of it was kept. Send the public half alone (BEGIN PUBLIC KEY). "
            "Whoever could see this request may have seen the private one: make another KEK unless you are sure",
        )
    folder = services.settings.keys.dir
    row = await asyncio.to_thread(_row_of, wish, folder)
    async with services.database() as connection, connection.transaction():
        await add_row(connection, row)
        key_id = await asyncio.to_thread(_place, wish, row, folder)
        detail = {"kek_purpose": row.purpose.value, "key_id": key_id}
        try:
            await services.audit(principal, "register_kek", f"kek {row.name}", purpose=wish.reason, **detail)
        except ApiError:
            if wish.pem:
                await asyncio.to_thread(row.public_path(folder).unlink)
            raise
    await _renew_copy(services)
    after = "Assign it next; then an officer signs." if row.purpose is Purpose.END_TO_END else ""
    half = "" if row.private else " Its private half is not on this node."
    return Done(says=f"{row.name} is registered: {key_id}.{half}", next=after)


@router.post("/make")
async def make(wish: Making, principal: Keeper, services: Serving) -> Done:
    """Make a KEK for the server under the server's own passphrase, and register it.

    An end-to-end KEK is made where its officer is, by `sealstream keys make`: no server should see its private half.
    """
    passphrase = services.settings.keys.passphrase_file
    if passphrase is None:
        raise ApiError(
            400, "configuration", "`keys.passphrase_file` of the settings names no file: there is no passphrase"
        )
    await services.audit(principal, "make_kek", f"kek {wish.name}", purpose=wish.reason, outcome="asked")
    arguments = ["keys", "make", wish.name, "--bits", str(wish.bits), "--passphrase-file", str(passphrase), "--json"]
    ended = await run_command(services.settings, arguments)
    if ended.code:
        raise ApiError(400, "not_made", ended.error or "the KEK could not be made: the server's log says more")
    return await register(Registration(name=wish.name, purpose="server", reason=wish.reason), principal, services)


@router.post("/kek/{name}/rotation")
async def rotate(name: str, wish: RotationWish, principal: Keeper, services: Serving) -> Done:
    """Begin a rotation, finish it, or go back. It holds within seconds; of end-to-end KEKs once it is signed."""
    if wish.step == "begin" and not wish.successor:
        raise ApiError(422, "bad_request", "which KEK takes its place? Name it in `successor`")
    steps: dict[str, Move] = {
        "begin": lambda rows: rotation.begin(rows, name, wish.successor),
        "finish": lambda rows: rotation.finish(rows, name),
        "back": lambda rows: rotation.back(rows, name),
    }
    row = await move(services, principal, steps[wish.step], f"rotate_kek_{wish.step}", name, wish.reason)
    signed = row.purpose is Purpose.END_TO_END
    when = "Once an officer has signed it (`sealstream keys distribute`)," if signed else "Within seconds"
    says = {
        "begin": f"{when} everything new is sealed to {name} and {wish.successor}.",
        "finish": f"{when} nothing new is sealed to {name}; what was, still opens with it.",
        "back": f"{when} everything new is sealed to {name} alone again; what was sealed to the other still opens.",
    }
    after = {"begin": "Finish it, or go back.", "finish": "Re-wrap the archive, then retire it.", "back": ""}
    return Done(says=says[wish.step], next=after[wish.step])


@router.post("/kek/{name}/retire")
async def retire(name: str, wish: RetireWish, principal: Keeper, services: Serving) -> Done:
    """Have a KEK open nothing any more. Refused while this node's archive has epochs that only it opens."""
    if not wish.give_up and (alone := await _alone(services, name)):
        raise ApiError(
            409,
            "still_needed",
            f"{alone} epochs in the archive open with {name} and no other KEK in use: "
            "re-wrap them first, or give them up",
        )
    await move(services, principal, lambda rows: rotation.retire(rows, name), "retire_kek", name, wish.reason)
    return Done(
        says=f"{name} is retired.",
        next="Its private half may be destroyed once agents that were offline have come back.",
    )


@router.post("/kek/{name}/revoke")
async def revoke(name: str, wish: RevokeWish, principal: Keeper, services: Serving) -> Done:
    """A KEK is in wrong hands: at once it is neither sealed to nor opened with, whatever it still protects."""
    await move(services, principal, lambda rows: rotation.revoke(rows, name), "revoke_kek", name, wish.reason)
    return Done(says=f"{name} is revoked.", next="Of end-to-end streams, an officer signs the key sets without it now.")


async def move(  # noqa: PLR0917  # all of them are said by every caller
    services: Services, principal: Principal, step: Move, action: str, name: str, reason: str
) -> Registered:
    """Change rows by a step, audited before it holds; the node's copy follows at once. The KEK as it was before."""
    with known_keks():
        changed_by = await _move(services, principal, step, action, name, reason)
    await _renew_copy(services)
    return changed_by


async def _move(  # noqa: PLR0917  # likewise
    services: Services, principal: Principal, step: Move, action: str, name: str, reason: str
) -> Registered:
    async with services.database() as connection, connection.transaction():
        await connection.execute("LOCK TABLE encryption_kek IN SHARE ROW EXCLUSIVE MODE")
        rows = await fetch_rows(connection)
        changed = step(rows)
        before = find(rows, name)
        detail = {row.name: row.state.value for row in changed}
        for row in changed:
            await change_row(connection, row)
        await services.audit(principal, action, f"kek {before.name}", purpose=reason, keks=_states(detail))
    return before


def _states(states: dict[str, str]) -> str:
    return ", ".join(f"{name} {state}" for name, state in states.items())


async def _alone(services: Services, name: str) -> int:
    """Epochs that only this KEK opens, counted now."""
    async with services.database() as connection:
        with known_keks():
            find(await fetch_rows(connection), name)
    rows = await services.protection.counted_now()
    return sum(row["alone"] for row in rows if row["name"] == name)


async def _renew_copy(services: Services) -> None:
    try:
        async with services.database() as connection:
            rows = await fetch_rows(connection)
        await asyncio.to_thread(save_copy, services.settings.keys.dir, rows)
    except (OSError, UnavailableError):
        return  # whoever follows the table renews it within seconds


def _row_of(wish: Registration, folder: Path) -> Registered:
    """The row to add; raises `ConfigError` or `ApiError` for what cannot be one."""
    purpose, public, private = Purpose(wish.purpose), wish.name + PUBLIC_SUFFIX, wish.name + PRIVATE_SUFFIX
    if wish.pem:
        try:
            Recipient.from_pem(wish.pem.encode())
        except ConfigError as error:
            raise ApiError(400, "bad_key", f"this is not a public key in PEM that can be sealed to: {error}") from None
        if purpose is Purpose.SERVER and not (folder / private).exists():
            raise ApiError(
                400, "no_private_half", f"{private} is not on this node: its miners could not open what is sealed"
            )
        if (folder / public).exists():
            raise ApiError(409, "exists", f"{public} is there already: choose another name, keys are never replaced")
        return Registered(public, private if (folder / private).exists() else "", purpose=purpose)
    path = folder / private
    locked = not path.exists() or b"ENCRYPTED" in path.read_bytes()
    row = Registered(public, private if path.exists() else "", locked, purpose)
    row.recipient(folder)  # raises for a file that is not there, or is no key
    return row


def _place(wish: Registration, row: Registered, folder: Path) -> str:
    if wish.pem:
        place_public(row.public_path(folder), Recipient.from_pem(wish.pem.encode()).to_pem())
    return row.recipient(folder).key_id.hex()
