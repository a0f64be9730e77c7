"""Keys of a person for one command: reason and scope into the audit, the attempt counted, the passphrase, the KEKs.

Never yields a key before the entry that grants it is with all in-sync replicas, and never audits what was searched for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigError, SealstreamError

if TYPE_CHECKING:
    from infra.keys.registry import Registered
    from infra.settings import Settings
    from schemas.keys import Unwrapper


class Unlocking:
    """What is done with unlocked keys. `identities` are those that opened, `told` what the last audit entry adds."""

    def __init__(self, identities: Mapping[str, Unwrapper]) -> None:
        self.identities = list(identities.values())
        self.names = sorted(identities)
        self.told: dict[str, str] = {}


@asynccontextmanager
async def unlocking(
    settings: Settings, action: str, target: str, *, reason: str, names: Sequence[str], passphrase_file: Path | None
) -> AsyncIterator[Unlocking]:
    """KEKs by name, or those end-to-end KEKs that the passphrase opens. Raises `RefusedError` and `ConfigError`."""
    from gateway.unlock.opener import shield
    from gateway.unlock.refusal import refusal_of
    from infra.audit import audit_trail

    if not reason.strip():
        raise ConfigError("say why with --reason: it goes into the audit")
    shield()
    asked = {"keys": ", ".join(names)} if names else {}
    async with audit_trail(settings) as write:
        try:
            opened = Unlocking(await _open(settings, names, passphrase_file))
        except SealstreamError as error:
            refusal = refusal_of(error)
            with suppress(SealstreamError):  # what is refused opens nothing, audited or not
                await write(action, target, outcome="refused", purpose=reason, detail={**asked, "why": refusal.reason})
            raise refusal from error
        granted = {"keys": ", ".join(opened.names)}
        await write(action, target, outcome="granted", purpose=reason, detail=granted)
        try:
            yield opened
        except BaseException:
            await write(action, target, outcome="broken_off", purpose=reason, detail={**granted, **opened.told})
            raise
        await write(action, target, outcome="done", purpose=reason, detail={**granted, **opened.told})


async def _open(settings: Settings, names: Sequence[str], passphrase_file: Path | None) -> dict[str, Unwrapper]:
    """Count an attempt on each KEK that the passphrase is tried on, and try it."""
    from gateway.unlock.attempts import Attempts
    from gateway.unlock.naming import key_ids
    from gateway.unlock.opener import open_each
    from gateway.unlock.refusal import refusal_of
    from infra.audit import this_person
    from infra.cli.secret_entry import entered_passphrase
    from infra.keys.table import registered

    rows = registered(settings)
    trying = _choose(rows, names)
    ids = {row: key_id.hex() for key_id, row in key_ids(settings, rows).items()}
    with entered_passphrase(passphrase_file, f"Passphrase of {', '.join(row.name for row in trying)}") as passphrase:
        attempts = Attempts(settings)
        begun = await attempts.begin(this_person(), [ids.get(row, row.name) for row in trying])
        try:
            opened = open_each(settings, passphrase, trying)
        except SealstreamError as error:
            await attempts.end(begun, refusal_of(error).reason)
            raise
        await attempts.end(begun, "opened")
    return opened


def _choose(rows: Sequence[Registered], names: Sequence[str]) -> list[Registered]:
    from infra.keys.registry import USABLE, Purpose, find
    from schemas.errors import KekMissingError

    if names:
        return [find(rows, name) for name in names]
    officers = [row for row in rows if row.purpose is Purpose.END_TO_END]
    if not officers:
        raise KekMissingError("no end-to-end KEK is registered: `sealstream keys register NAME` registers one")
    return [row for row in officers if row.state in USABLE] or officers
