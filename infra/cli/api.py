"""`sealstream api`: who may use the HTTPS API by a bearer token.

Never shows a token again: only its hash is kept.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.accounts import ask
from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from gateway.accounts.account import Account
    from gateway.unlock.tokens import ApiTokens
    from infra.keys.table import Connection

NAME = "command line"
"""What the token of an account is called that this command makes."""

app = typer.Typer(no_args_is_help=True, help="Who may use the HTTPS API: bearer tokens.")

Person = Annotated[str, typer.Argument(help="The account; or a person without one, as the audit is to name them.")]


def register(root: typer.Typer) -> None:
    """Add `sealstream api`."""
    root.add_typer(app, name="api")


@app.command()
def token(
    person: Person,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 30,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may, such as search; may be given again. All that the account may."),
    ] = None,
) -> None:
    """Make a token of an account; one that this command made before ends. It is shown this once.

    A person without an account gets one too, for unlocking and fetching envelopes alone.

    Examples: `sealstream api token ann > ann.token`, `sealstream api token ann --scope reports --days 90`
    """
    from infra.settings import load_settings

    account = ask(lambda connection: _find(connection, person))
    if account is None:
        print(_tokens().issue(person, days))
        typer.echo(
            f"sealstream: {person} has no account: the token unlocks and fetches envelopes, of everybody", err=True
        )
        return
    made = ask(lambda connection: _make(connection, account, scope, days))
    note_change(load_settings(), "token_make", NAME, account=person, scopes=",".join(scope or ["all"]), days=str(days))
    print(made)


@app.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List who has a token, what it may, and until when.

    Example: `sealstream api list --json`
    """
    rows = [
        {"person": one.person, "token": "file", "until": _time(one.until_ms), "scopes": "envelopes unlock_server"}
        for one in _tokens().holders()
    ]
    rows += [
        {
            "person": one["account"],
            "token": one["name"],
            "until": _time(one["expires_at_ms"]),
            "scopes": " ".join(one["scopes"]),
        }
        for one in _of_accounts()
    ]
    if as_json:
        print(json.dumps(rows))
    else:
        lines = [f"{row['person']:30} until {row['until']}  {row['token']}: {row['scopes']}" for row in rows]
        print("\n".join(lines) or "nobody has a token")


@app.command()
def revoke(person: Person) -> None:
    """End all tokens of an account, or of a person without one, at once.

    Example: `sealstream api revoke ann`
    """
    from infra.settings import load_settings

    in_file = _tokens().withdraw(person)
    ended = ask(lambda connection: _end(connection, person))
    if not ended and not in_file:
        print(f"{person} has no token")
        raise typer.Exit(Exit.NOTHING)
    note_change(load_settings(), "token_revoke", "all", account=person)
    print(f"{person} has no token any more")


async def _find(connection: Connection, name: str) -> Account | None:
    from gateway.accounts.store import find_account

    return await find_account(connection, name)


async def _make(connection: Connection, account: Account, scopes: list[str] | None, days: int) -> str:
    from gateway.accounts.tokens import make_token

    async with connection.transaction():
        await connection.execute("DELETE FROM api_token WHERE account_id = $1 AND name = $2", account.id, NAME)
        _, secret = await make_token(connection, account, NAME, scopes or sorted(account.permissions), days)
    return secret


async def _end(connection: Connection, name: str) -> int:
    done = await connection.execute(
        "DELETE FROM api_token USING account WHERE account.account_id = api_token.account_id AND account.name = $1",
        name,
    )
    return int(done.rsplit(" ", 1)[-1])


def _of_accounts() -> list[dict[str, Any]]:
    """Those of accounts; a warning where they cannot be asked for."""
    from gateway.accounts.tokens import list_tokens

    try:
        return ask(list_tokens)
    except UnavailableError as error:
        typer.echo(f"sealstream: without those of accounts: {error}", err=True)
        return []


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def _tokens() -> ApiTokens:
    from gateway.unlock.tokens import ApiTokens
    from infra.settings import load_settings

    return ApiTokens(load_settings().unlock.tokens_file)
