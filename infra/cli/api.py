"""`sealstream api`: who may use the HTTPS API, by bearer tokens.

Never shows a token again: only its hash is kept.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit

if TYPE_CHECKING:
    from gateway.unlock.tokens import ApiTokens

app = typer.Typer(no_args_is_help=True, help="Who may use the HTTPS API: bearer tokens of persons.")

Person = Annotated[str, typer.Argument(help="The person, as the audit is to name them.")]


def register(root: typer.Typer) -> None:
    """Add `sealstream api`."""
    root.add_typer(app, name="api")


@app.command()
def token(
    person: Person, days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 30
) -> None:
    """Make a person's token; one that they had before ends. It is shown this once.

    Example: `sealstream api token ann > ann.token`
    """
    print(_tokens().issue(person, days))


@app.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List who has a token, and until when.

    Example: `sealstream api list --json`
    """
    rows = [
        {"person": one.person, "until": datetime.fromtimestamp(one.until_ms / 1000, UTC).isoformat(timespec="seconds")}
        for one in _tokens().holders()
    ]
    if as_json:
        print(json.dumps(rows))
    else:
        print("\n".join(f"{row['person']:30} until {row['until']}" for row in rows) or "nobody has a token")


@app.command()
def revoke(person: Person) -> None:
    """End a person's token, at once.

    Example: `sealstream api revoke ann`
    """
    if not _tokens().withdraw(person):
        print(f"{person} has no token")
        raise typer.Exit(Exit.NOTHING)
    print(f"{person} has no token any more")


def _tokens() -> ApiTokens:
    from gateway.unlock.tokens import ApiTokens
    from infra.settings import load_settings

    return ApiTokens(load_settings().unlock.tokens_file)
