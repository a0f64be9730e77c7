"""`sealstream unlock`: a person's passphrase opens what an agent recorded end-to-end, for that person alone.

Never writes plaintext anywhere but to standard output or, with `--out`, into files for the owner alone.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.times import parse_time_ms
from schemas.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.unlock.remote import RemoteSession
    from gateway.unlock.scope import Scope
    from gateway.unlock.session import UnlockSession
    from infra.cli.unlock_view import View
    from schemas.unlock_channel import Channel

    Session = UnlockSession | RemoteSession

HELP = """\
Open what an agent recorded end-to-end: asks for the passphrase of the KEK that it is sealed to.

Plaintext goes to standard output as JSON lines, with `--text` as people read it, or with `--out` into files that
only you can read: screens as PNG, mails and terminals as text. Every attempt is in the audit, with your reason, before
anything opens; after five that do not open, a KEK takes no more from you for a quarter of an hour. Exit code 1: nothing
in scope, 4: refused.

Examples:

    sealstream unlock --agent 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1 --stream email --since 2h --reason 'case 4711' --text

    sealstream unlock --agent 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1 --stream screen --since 2026-11-23T14:00
        --until 2026-11-23T14:15 --reason 'case 4711' --key officers-2026 --out ./case-4711

    sealstream unlock --server https://monitor.example.org --token-file ann.token --agent … --since 2h --reason '…'
"""


def register(app: typer.Typer) -> None:
    """Add `sealstream unlock`."""
    app.command("unlock", help=HELP)(unlock)


def unlock(  # noqa: PLR0917  # typer calls it by names
    agent: Annotated[list[str], typer.Option(help="Agent (UUID); may be given again.")],
    since: Annotated[str, typer.Option(help="Captured since: 2h, 7d ago, or 2026-11-23T14:00.")],
    reason: Annotated[str, typer.Option(help="Why; goes into the audit, where it stays.")],
    stream: Annotated[list[str] | None, typer.Option(help="screen, keystrokes, email; all three if not given.")] = None,
    until: Annotated[str, typer.Option(help="Captured before; likewise.")] = "now",
    key: Annotated[list[str] | None, typer.Option(help="KEK to use; the one that it is sealed to otherwise.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write files into this directory.")] = None,
    text: Annotated[bool, typer.Option("--text", help="As people read it, not JSON.")] = False,
    passphrase_file: Annotated[
        list[Path] | None,
        typer.Option(help="File with the passphrase, again for more KEKs; asked for at the terminal otherwise."),
    ] = None,
    server: Annotated[str, typer.Option(help="Unlock at this server's HTTPS port, not on this node.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="With --server: file with your API token.")] = None,
    ca: Annotated[Path | None, typer.Option(help="With --server: its CA; those of the system otherwise.")] = None,
) -> None:
    """Open what an agent recorded end-to-end."""
    from gateway.unlock.refusal import NOTHING_FOUND, RefusedError
    from gateway.unlock.remote import RemoteSession
    from gateway.unlock.session import UnlockSession
    from infra.audit import this_person
    from infra.cli.unlock_view import FileView, JsonView, TextView
    from infra.settings import load_settings

    scope = _scope(agent, stream or ["email", "keystrokes", "screen"], since, until)
    view: View = FileView(out) if out else TextView() if text else JsonView()
    try:
        session: Session
        if server:
            if token_file is None:
                raise ConfigError("--server wants --token-file: `sealstream api token NAME` makes a token there")
            session = RemoteSession(server, token_file, ca, scope, reason=reason, keys=key or [])
        else:
            session = UnlockSession(
                load_settings(), scope, person=this_person(), reason=reason, keys=key or [], via="command line"
            )
        summary = asyncio.run(_unlock(session, passphrase_file or [], view))
    except RefusedError as refusal:
        print(f"sealstream: {refusal}", file=sys.stderr)
        raise typer.Exit(Exit.NOTHING if refusal.reason == NOTHING_FOUND else Exit.REFUSED) from None
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.items()) or "nothing"
    print(f"opened: {told}", file=sys.stderr)
    if not summary.get("segments"):
        raise typer.Exit(Exit.NOTHING)


def _scope(agents: list[str], streams: list[str], since: str, until: str) -> Scope:
    from gateway.unlock.scope import Scope

    try:
        return Scope.from_json(
            {
                "agents": agents,
                "streams": streams,
                "since_ms": parse_time_ms(since),
                "until_ms": parse_time_ms(until),
            }
        )
    except MalformedError as error:
        raise ConfigError(str(error)) from None


async def _unlock(session: Session, passphrase_files: Sequence[Path], view: View) -> dict[str, Any]:
    from schemas.unlock_channel import Viewing, answer, wipe

    async with session:
        survey = await session.survey()
        names = [one["name"] for one in survey.trying]
        print(f"{survey.envelopes} envelopes in scope; KEK: {', '.join(names)}", file=sys.stderr)
        public, channel = answer(survey.public_key, session.id)
        await _open(session, public, channel, names, passphrase_files)
        viewing = Viewing(channel)
        async for message in session.release():
            released = viewing.take(message)
            if released is not None:
                view.show(released.about, released.plaintext)
                wipe(released.plaintext)
        view.close()
    if viewing.summary is None:
        raise MalformedError("the end is missing: what was shown is not all", "truncated")
    return viewing.summary


async def _open(
    session: Session, public: bytes, channel: Channel, names: Sequence[str], passphrase_files: Sequence[Path]
) -> None:
    """Give one passphrase after another, while they may open more."""
    from gateway.unlock.refusal import RefusedError
    from infra.cli.secret_entry import entered_passphrase

    closed, files = list(names), list(passphrase_files)
    while closed and (files or not passphrase_files):
        first = closed == list(names)
        asked = f"Passphrase of {', '.join(closed)}{'' if first else ' (nothing: go on without)'}"
        with entered_passphrase(files.pop(0) if files else None, asked) as passphrase:
            if not passphrase and not first:
                return
            sealed = channel.seal(passphrase)
        try:
            opened = await session.open(public, sealed)
        except RefusedError as refusal:
            if first or passphrase_files or refusal.reason != "wrong_passphrase":
                raise
            print(f"sealstream: {refusal}", file=sys.stderr)
            continue
        closed = opened.closed
