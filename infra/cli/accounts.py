"""`sealstream accounts`: who signs in to the console, from the command line of a server.

Never prints a password or a hash; a link is shown once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from infra.cli.trust_audit import note_change
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from gateway.accounts.account import Account
    from infra.keys.table import Connection

Answer = TypeVar("Answer")

app = typer.Typer(no_args_is_help=True, help="Who signs in to the console: accounts, links, sessions.")

Name = Annotated[str, typer.Argument(help="The account's name.")]
Role = Annotated[str, typer.Option(help="administrator, operator, officer, auditor or subject.")]
Person = Annotated[str, typer.Option(help="User name under which its owner is recorded; needed for a subject.")]
AllTeams = Annotated[bool, typer.Option("--all-teams", help="May see everybody, not the people of its teams alone.")]
Teams = Annotated[list[str] | None, typer.Option("--team", help="A team whose people it may see; may be given again.")]
OnServer = Annotated[
    bool, typer.Option("--unlock-on-server", help="May have the server open end-to-end data, not the browser alone.")
]
PasswordFile = Annotated[Path | None, typer.Option(help="File with its password; else a link to set one is printed.")]


class YesNo(StrEnum):
    """An answer of the command line."""

    YES = "yes"
    NO = "no"


NewRole = Annotated[str | None, typer.Option("--role", help="administrator, operator, officer, auditor or subject.")]
NewPerson = Annotated[str | None, typer.Option("--person", help="User name under which its owner is recorded.")]
NewTeams = Annotated[
    list[str] | None,
    typer.Option("--team", help="A team whose people it may see, in place of those before; may be given again."),
]
NewOnServer = Annotated[
    YesNo | None, typer.Option("--unlock-on-server", help="Whether it may have the server open end-to-end data.")
]


def register(root: typer.Typer) -> None:
    """Add `sealstream accounts`."""
    root.add_typer(app, name="accounts")


@app.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List the accounts: role, whom they may see, whether they can sign in.

    Example: `sealstream accounts list --json | jq -r '.[] | select(.role == "administrator").name'`
    """
    from gateway.accounts.store import list_accounts
    from infra.cli.table import render_table

    rows = [_row(account) for account in ask(list_accounts)]
    if as_json:
        print(json.dumps(rows))
    elif rows:
        print(render_table([key.upper() for key in rows[0]], [list(row.values()) for row in rows]))
    else:
        print("There is no account yet: `sealstream accounts first-link` prints the first administrator's link.")


@app.command()
def make(  # noqa: PLR0917  # typer calls it by names
    name: Name,
    role: Role,
    person: Person = "",
    all_teams: AllTeams = False,
    team: Teams = None,
    unlock_on_server: OnServer = False,
    password_file: PasswordFile = None,
) -> None:
    """Make an account; without `--password-file` it prints a link by which its owner sets a password.

    Examples: `sealstream accounts make ann --role officer --team sales`,
    `sealstream accounts make bob --role subject --person bob`
    """
    from gateway.accounts.passwords import HASHER, check_strength, prepared
    from gateway.accounts.store import make_account

    wanted = _role(role)
    if wanted == "subject" and not person:
        raise ConfigError("a subject is a recorded person: name them with --person USER")
    hashed = None
    if password_file is not None:
        password = _read_password(password_file)
        check_strength(password, name=name)
        hashed = HASHER.hash(prepared(password))

    async def act(connection: Connection) -> None:
        async with connection.transaction():
            await make_account(
                connection,
                name,
                wanted,
                team or (),
                person=person or None,
                all_teams=all_teams,
                unlock_on_server=unlock_on_server,
                password_hash=hashed,
            )

    ask(act)
    _note("make", name, role=role, person=person, teams=",".join(team or ()), all_teams=str(all_teams).lower())
    print(f"{name} is made")
    if hashed is None:
        link(name)


@app.command()
def change(  # noqa: PLR0917  # typer calls it by names
    name: Name,
    role: NewRole = None,
    person: NewPerson = None,
    team: NewTeams = None,
    all_teams: AllTeams = False,
    unlock_on_server: NewOnServer = None,
) -> None:
    """Change an account's role, whom it may see, or whether it may unlock on the server; what is not given stays.

    Its sessions and tokens go on with the new rights, within two seconds. The last administrator stays one.
    Examples: `sealstream accounts change ann --team sales --team support`,
    `sealstream accounts change bob --role auditor`, `sealstream accounts change eve --unlock-on-server no`
    """
    if team and all_teams:
        raise ConfigError("give --team or --all-teams, not both: either it sees the people of teams, or everybody")
    wanted: dict[str, object] = {}
    if role is not None:
        wanted["role"] = _role(role).value
    if person is not None:
        wanted["person"] = person.strip() or None
    if team or all_teams:
        wanted["all_teams"] = all_teams
    if unlock_on_server is not None:
        wanted["unlock_on_server"] = unlock_on_server is YesNo.YES
    if not wanted:
        raise ConfigError("say what is to change: --role, --team, --all-teams, --unlock-on-server or --person")
    changed = ask(lambda connection: _set_rights(connection, name, wanted, sorted(set(team or ()))))
    if not changed:
        print(f"{name} is so already")
        return
    _note("change", name, **changed)
    print(f"{name} is changed: " + "; ".join(f"{what.replace('_', ' ')} {how}" for what, how in changed.items()))


@app.command("first-link")
def first_link() -> None:
    """Print the link that makes the first administrator: it works once, and for a day; an earlier one ends.

    Example: `sealstream accounts first-link`. Ends with 1 when there is an administrator already.
    """
    from gateway.accounts import links
    from infra.settings import load_settings

    settings = load_settings()
    secret = ask(lambda connection: links.make_first_link(connection, settings.accounts.first_link_s))
    _note("first_link", "first administrator")
    print(links.first_link(settings, secret))


@app.command()
def link(name: Name) -> None:
    """Print a link by which the account's owner sets their password: it works once, and for three days.

    Example: `sealstream accounts link ann`
    """
    from gateway.accounts import links
    from infra.settings import load_settings

    settings = load_settings()

    async def act(connection: Connection) -> str:
        account = await _find(connection, name)
        return await links.make_password_link(connection, account.id, settings.accounts.link_s)

    secret = ask(act)
    _note("link", name)
    print(links.password_link(settings, secret))


@app.command()
def disable(name: Name) -> None:
    """Keep an account from signing in, and end its sessions.

    Example: `sealstream accounts disable ann`
    """
    _change(name, "disable", disabled=True)
    print(f"{name} is disabled")


@app.command()
def enable(name: Name) -> None:
    """Let an account sign in again, also after too many failures.

    Example: `sealstream accounts enable ann`
    """
    _change(name, "enable", disabled=False)
    print(f"{name} is enabled")


@app.command("reset-totp")
def reset_totp(name: Name) -> None:
    """Take an account's codes away, for who lost their device and their recovery codes.

    Example: `sealstream accounts reset-totp ann`
    """
    _change(name, "reset_totp", totp_secret=None, totp_pending=None)
    print(f"{name} signs in without a code")


@app.command()
def sessions(name: Name, as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List the sessions of an account that go on.

    Example: `sealstream accounts sessions ann`
    """
    from gateway.accounts.sessions import list_sessions
    from infra.cli.table import render_table
    from infra.settings import load_settings

    settings = load_settings().accounts

    async def act(connection: Connection) -> list[list[str]]:
        account = await _find(connection, name)
        return [
            [str(row["id"]), _time(row["started_at_ms"]), _time(row["seen_at_ms"]), row["address"], row["browser"]]
            for row in await list_sessions(connection, account.id, settings)
        ]

    head = ["session", "since", "seen", "address", "browser"]
    rows = ask(act)
    if as_json:
        print(json.dumps([dict(zip(head, row, strict=True)) for row in rows]))
    else:
        print(render_table([word.upper() for word in head], rows) if rows else f"{name} is not signed in")


@app.command()
def revoke(name: Name) -> None:
    """End all sessions and API tokens of an account.

    Example: `sealstream accounts revoke ann`
    """
    from gateway.accounts.sessions import end_sessions

    async def act(connection: Connection) -> int:
        account = await _find(connection, name)
        await connection.execute("DELETE FROM api_token WHERE account_id = $1", account.id)
        return await end_sessions(connection, account.id)

    ended = ask(act)
    _note("revoke", name, sessions=str(ended))
    print(f"{ended} sessions of {name} ended, and its tokens")


def ask(question: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """The answer of the database."""

    async def run() -> Answer:
        async with _connected() as connection:
            return await question(connection)

    return asyncio.run(run())


@contextlib.asynccontextmanager
async def _connected() -> AsyncIterator[Connection]:
    from infra.keys.table import connected
    from infra.settings import load_settings

    async with connected(load_settings()) as connection:
        yield connection


async def _find(connection: Connection, name: str) -> Account:
    from gateway.accounts.store import find_account

    account = await find_account(connection, name)
    if account is None:
        raise ConfigError(f"there is no account {name}: `sealstream accounts list` shows them")
    return account


def _change(name: str, action: str, **values: object) -> None:
    from gateway.accounts.limits import forgive_name
    from gateway.accounts.sessions import end_sessions
    from gateway.accounts.store import change_account

    async def act(connection: Connection) -> None:
        account = await _find(connection, name)
        async with connection.transaction():
            await change_account(connection, account.id, **values)
            await forgive_name(connection, name)
            if action == "reset_totp":
                await connection.execute("DELETE FROM recovery_code WHERE account_id = $1", account.id)
            if action != "enable":
                await end_sessions(connection, account.id)

    ask(act)
    _note(action, name)


async def _set_rights(connection: Connection, name: str, wanted: dict[str, object], teams: list[str]) -> dict[str, str]:
    """What changed, as the audit tells it; raises `ConfigError`, `MalformedError`, and `ApiError` 409."""
    from gateway.accounts.changes import differences, rights_of
    from gateway.accounts.store import change_account, set_teams

    async with connection.transaction():
        before = await _find(connection, name)
        role, person = wanted.get("role", before.role), wanted.get("person", before.person)
        if role == "subject" and not person:
            raise ConfigError("a subject is a recorded person: name them with --person USER")
        await change_account(connection, before.id, **{"role": before.role.value, **wanted})
        if teams:
            await set_teams(connection, before.id, teams)
        return differences(rights_of(before), rights_of(await _find(connection, name)))


def _row(account: Account) -> dict[str, str]:
    sees = "everybody" if account.all_teams else ", ".join(account.teams) or "nobody"
    ways = [word for word, has in (("password", account.password_hash), ("oidc", account.oidc_subject)) if has]
    return {
        "name": account.name,
        "role": account.role.value,
        "sees": account.person if account.role == "subject" else sees,
        "on server": "yes" if account.unlock_on_server else "no",
        "signs in by": "disabled" if account.disabled else ", ".join(ways) or "nothing yet",
        "codes": "yes" if account.totp_secret else "no",
    }


def _role(text: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  # the enum of a package that is imported late
    from gateway.api.access import Role

    if text not in list(Role):
        raise ConfigError(f"--role is one of {', '.join(Role)}")
    return Role(text)


def _read_password(file: Path) -> str:
    from infra.settings import read_secret

    return read_secret(file).split("\n")[0]


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def _note(change: str, name: str, **detail: str) -> None:
    from infra.settings import load_settings

    told = {"change": change, **{key: value for key, value in detail.items() if value}}
    note_change(load_settings(), "account_change", name, **told)
