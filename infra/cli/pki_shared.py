"""The register that all nodes share, for commands: exchanged before they tell of it, and after they changed it.

Never keeps a command from being done on this node: what other nodes do not hear of now is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

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
