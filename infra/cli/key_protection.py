"""`sealstream keys protects`: how much of the archive each KEK opens.

Never names a person: it counts them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from infra.cli.exits import Exit
from infra.cli.keys import AsJson, load, run

if TYPE_CHECKING:
    from infra.settings import Settings


def protects(as_json: AsJson = False) -> None:
    """Count what each KEK protects in this node's archive: epochs, envelopes, bytes, persons; and what only it opens.

    Example: `sealstream keys protects --json | jq '.[] | select(.alone > 0) | .name'`
    """
    from infra.cli.table import render_table

    rows = run(_count(load()))
    if as_json:
        print(json.dumps(rows))
    elif rows:
        head = ["KEK", "EPOCHS", "ONLY IT", "ENVELOPES", "BYTES", "PERSONS", "FROM", "TO"]
        columns = ("epochs", "alone", "envelopes", "bytes", "persons", "first_day", "last_day")
        print(render_table(head, [[row["name"] or row["key_id"][:16], *(row[one] for one in columns)] for row in rows]))
    else:
        print("the archive holds nothing that a KEK opens")
    if not rows:
        raise typer.Exit(Exit.NOTHING)


async def _count(settings: Settings) -> list[dict[str, Any]]:
    from infra.keys.registry import USABLE
    from infra.keys.table import connected, fetch_rows
    from infra.settings import postgresql_dsn
    from schemas.errors import ConfigError
    from sinks.archive.layout import Layout
    from sinks.archive.protection import count_protected
    from sinks.postgresql.connection import connect

    names: dict[bytes, str] = {}
    usable: set[bytes] = set()
    async with connected(settings) as connection:
        rows = await fetch_rows(connection)
    for row in rows:
        try:
            key_id = row.recipient(settings.keys.dir).key_id
        except ConfigError:
            continue  # `keys check` tells of it
        names[key_id] = row.name
        usable |= {key_id} if row.state in USABLE else set()
    counting = await connect(postgresql_dsn(settings))
    try:
        found = await count_protected(counting, Layout(settings.archive.dir), usable)
    finally:
        counting.terminate()
    return [
        {"name": names.get(key_id, ""), "key_id": key_id.hex(), **one.to_json()}
        for key_id, one in sorted(found.items(), key=lambda pair: (names.get(pair[0], "~"), pair[0]))
        if key_id in names or one.alone  # a page that watched live was a recipient too: its key opens nothing alone
    ]
