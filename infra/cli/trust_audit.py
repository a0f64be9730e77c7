"""Audit entries of commands that change whom we trust: keys, certificates, approved nodes.

Never keeps such a change from being made: who must revoke a stolen certificate cannot wait for Kafka. What could not be
written down is said.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from infra.settings import Settings

_TIMEOUT_S = 10.0


def note_change(settings: Settings, action: str, target: str, **detail: str) -> None:
    """Write an audit entry of a change that was made; a warning on standard error where that cannot be."""
    from schemas.errors import UnavailableError

    try:
        asyncio.run(asyncio.wait_for(_write(settings, action, target, detail), _TIMEOUT_S))
    except (UnavailableError, TimeoutError) as error:
        why = str(error) or "Kafka does not answer in time"
        typer.echo(f"sealstream: done, but not in the audit: {why}. Write it down by hand", err=True)


async def _write(settings: Settings, action: str, target: str, detail: dict[str, str]) -> None:
    from infra.audit import audit_trail

    async with audit_trail(settings) as write:
        await write(action, target, detail=detail)
