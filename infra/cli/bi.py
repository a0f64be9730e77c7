"""`sealstream bi`: logins of BI servers to the views of reports.

Never keeps a password: it is printed once.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change

Name = Annotated[str, typer.Argument(help="Its name in PostgreSQL: small letters, digits and _.")]


def register(app: typer.Typer) -> None:
    """Add `bi` with its commands."""
    bi = typer.Typer(no_args_is_help=True, help="Logins of BI servers, which read the views of reports alone.")
    bi.command("account")(account)
    bi.command("list")(show)
    bi.command("remove")(remove)
    app.add_typer(bi, name="bi")


def account(name: Name) -> None:
    """Make a login, and print its password once.

    The BI server's address must be approved too (`sealstream approved add ADDRESS`). docs/reports.md has the views.

    Example: `sealstream bi account metabase`
    """
    from infra.bi import make_account
    from infra.settings import load_settings

    settings = load_settings()
    password = asyncio.run(make_account(settings, name))
    note_change(settings, "make bi account", name)
    print(f"user      {name}")
    print(f"password  {password}")
    print(f"address   {settings.postgresql.dsn.partition('@')[2] or settings.postgresql.dsn}")
    print("schema    bi")


def show(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List the logins, with how many connections each has now.

    Example: `sealstream bi list --json | jq -r '.[].name'`
    """
    from infra.bi import list_accounts
    from infra.cli.table import render_table
    from infra.settings import load_settings

    rows = asyncio.run(list_accounts(load_settings()))
    if as_json:
        print(json.dumps([row._asdict() for row in rows]))
    elif rows:
        print(render_table(["NAME", "CONNECTIONS"], [list(row) for row in rows]))
    else:
        print("There is no login of a BI server yet: `sealstream bi account NAME` makes one.")


def remove(name: Name) -> None:
    """Take a login out, and end its connections. Ends with 1 when there is none of that name.

    Example: `sealstream bi remove metabase`
    """
    from infra.bi import remove_account
    from infra.settings import load_settings

    settings = load_settings()
    if not asyncio.run(remove_account(settings, name)):
        typer.echo(f"sealstream: no BI server has the login {name}", err=True)
        raise typer.Exit(Exit.NOTHING)
    note_change(settings, "remove bi account", name)
    print(f"{name} is removed")
