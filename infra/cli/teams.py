"""`sealstream teams`: which recorded people belong together, so that accounts can be limited to them.

Never changes what is recorded: a team is about who may see it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.accounts import ask
from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change

if TYPE_CHECKING:
    from infra.keys.table import Connection

app = typer.Typer(no_args_is_help=True, help="Teams of recorded people, for what accounts may see.")

Team = Annotated[str, typer.Argument(help="The team.")]
Users = Annotated[list[str], typer.Argument(help="User names, as agents tell them.")]


def register(root: typer.Typer) -> None:
    """Add `sealstream teams`."""
    root.add_typer(app, name="teams")


@app.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List the teams, their people, and which accounts see them.

    Example: `sealstream teams list`
    """
    from gateway.accounts.teams import list_teams
    from infra.cli.table import render_table

    teams = ask(list_teams)
    if as_json:
        print(json.dumps(teams))
    elif teams:
        rows = [[team["name"], ", ".join(team["members"]), ", ".join(team["accounts"]), team["note"]] for team in teams]
        print(render_table(["TEAM", "PEOPLE", "SEEN BY", "NOTE"], rows))
    else:
        print("There is no team: `sealstream teams make NAME` makes one.")


@app.command()
def make(team: Team, note: Annotated[str, typer.Option(help="What it is.")] = "") -> None:
    """Make a team.

    Example: `sealstream teams make sales --note 'Sales, Berlin'`
    """
    from gateway.accounts.teams import make_team

    ask(lambda connection: make_team(connection, team, note))
    _note("make", team)
    print(f"team {team} is made")


@app.command()
def delete(team: Team) -> None:
    """Take a team away: accounts that saw its people by it see them no more.

    Example: `sealstream teams delete sales`
    """
    from gateway.accounts.teams import delete_team

    if not ask(lambda connection: delete_team(connection, team)):
        print(f"there is no team {team}")
        raise typer.Exit(Exit.NOTHING)
    _note("delete", team)
    print(f"team {team} is no more")


@app.command()
def add(team: Team, users: Users) -> None:
    """Put people into a team.

    Example: `sealstream teams add sales ann bob`
    """
    from gateway.accounts.teams import add_members

    async def act(connection: Connection) -> None:
        async with connection.transaction():
            await add_members(connection, team, users)

    ask(act)
    _note("add", team, persons=",".join(users))
    print(f"{', '.join(users)}: in team {team}")


@app.command()
def remove(team: Team, users: Users) -> None:
    """Take people out of a team.

    Example: `sealstream teams remove sales bob`
    """
    from gateway.accounts.teams import remove_members

    if not ask(lambda connection: remove_members(connection, team, users)):
        print(f"nobody of them is in {team}")
        raise typer.Exit(Exit.NOTHING)
    _note("remove", team, persons=",".join(users))
    print(f"{', '.join(users)}: not in team {team}")


def _note(change: str, team: str, **detail: str) -> None:
    from infra.settings import load_settings

    note_change(load_settings(), "team_change", team, change=change, **detail)
