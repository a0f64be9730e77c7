"""Stopping and starting the workers and sinks of a running stack by a wish, as the console does.

Never signals a process: the node's own supervisor follows the wish, drains in order, and keeps to it after a restart.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from infra.cli.exits import Exit
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.settings import Settings


def wish_components(names: Sequence[str], wanted: str, node: str, purpose: str) -> None:
    """Wish components of a node `running` or `stopped`; none named: all its workers."""
    from infra.settings import load_settings

    settings = load_settings()
    chosen = asyncio.run(_wish(settings, names, wanted, node or settings.node.id, purpose))
    if not chosen:
        import typer

        print("no workers are known there")
        raise typer.Exit(Exit.NOTHING)
    print(f"{', '.join(chosen)}: wished {wanted}; `sealstream status` shows when it is so")


async def _wish(settings: Settings, names: Sequence[str], wanted: str, node: str, purpose: str) -> list[str]:
    import asyncpg

    from infra.approved import connect
    from infra.audit import audit_trail, this_person
    from infra.stack.wishes import is_stoppable, write_wish
    from schemas.errors import UnavailableError

    try:
        connection = await connect(settings)
    except (OSError, TimeoutError) as error:
        raise UnavailableError(
            f"PostgreSQL cannot be asked ({error or type(error).__name__}): see `sealstream status`"
        ) from None
    try:
        rows = await connection.fetch("SELECT component FROM component_state WHERE node_id = $1", node)
        known = sorted(row["component"] for row in rows if is_stoppable(row["component"]))
        chosen = list(names) or [name for name in known if name.startswith("streams-")]
        for name in chosen:
            if name not in known:
                raise ConfigError(
                    f"the node {node} has no component {name!r} that can be stopped; "
                    f"it has {', '.join(known) or 'none: is its stack running?'}"
                )
        async with audit_trail(settings) as write:
            for name in chosen:
                await write(f"component {wanted}", f"{node}/{name}", purpose=purpose)
                await write_wish(connection, node, name, wanted, this_person())
    except asyncpg.UndefinedTableError:
        raise UnavailableError("the database has no table of wishes yet: `sealstream up` migrates it") from None
    finally:
        await connection.close()
    return chosen
