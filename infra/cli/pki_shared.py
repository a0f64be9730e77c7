"""What all nodes share, for commands: the register, exchanged before they tell of it and after they changed it; files.

Never keeps a command from being done on this node: what other nodes do not hear of now is said.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit

if TYPE_CHECKING:
    from infra.settings import Settings


def exchange(settings: Settings) -> dict[str, int]:
    """Exchange this node's files with the tables; which version of the trust agents told any node that they have."""
    from infra.pki.follow import exchange_now, has_database
    from schemas.errors import UnavailableError

    if not has_database(settings):
        return {}
    try:
        return exchange_now(settings)
    except UnavailableError as error:
        typer.echo(f"sealstream: by this node alone, others hear of changes later: {error}", err=True)
        return {}


def show_shared(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List the files that all nodes have alike, who changed them last, and whether this node has them so.

    Example: `sealstream pki shared`. Ends with 1 when this node does not have all of them as they are published.
    """
    import asyncio

    from infra.cli.table import render_table
    from infra.settings import load_settings
    from infra.site_follow import survey

    found = asyncio.run(survey(load_settings()))
    rows = [
        (one.name, str(one.version or ""), one.changed_by, one.changed_at.isoformat("T", "seconds"), one.here)
        if one.changed_at
        else (one.name, "", "", "", one.here)
        for one in found
    ]
    head = ("NAME", "VERSION", "BY", "CHANGED", "HERE")
    if as_json:
        print(json.dumps([dict(zip(map(str.lower, head), row, strict=True)) for row in rows]))
    else:
        print(render_table(head, rows))
    if any(one.here != "same" for one in found):
        raise typer.Exit(Exit.NOTHING)
