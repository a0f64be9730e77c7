"""`sealstream keys rotate|rewrap|retire|revoke`: the life of a KEK, in steps that each can be looked at.

Never takes a KEK away before what was sealed to it opens with another, unless told so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.keys import PassphraseFile, Why, add_registered, ask_passphrase, load, locked, private_beside, run
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.keys.registry import Registered
    from infra.settings import Settings
    from schemas.keys import Recipient, Unwrapper
    from sinks.archive.rewrapping import Progress

Name = Annotated[str, typer.Argument(help="The KEK, by name.")]
Move = Callable[[Sequence["Registered"]], list["Registered"]]


def add_rotation(keys: typer.Typer) -> None:
    """Add the commands to `keys`."""
    rotate = typer.Typer(
        help="Put another KEK in the place of one, in two phases with a way back.", no_args_is_help=True
    )
    rotate.command("begin")(begin)
    rotate.command("finish")(finish)
    rotate.command("back")(back)
    keys.add_typer(rotate, name="rotate")
    keys.command("rewrap")(rewrap)
    keys.command("retire")(retire)
    keys.command("revoke")(revoke)


def begin(
    old: Name, new: Annotated[str, typer.Argument(help="The KEK that takes its place.")], reason: Why = ""
) -> None:
    """Phase one: everything is sealed to the new KEK beside the old one, so that either opens it.

    The new KEK is registered if it was not. Example: `sealstream keys rotate begin server server-2027`
    """
    from infra.keys import rotation

    settings = load()
    run(_register_if_new(settings, old, new, reason))
    run(move(settings, lambda rows: rotation.begin(rows, old, new), "rotate_kek_begin", old, reason))
    print(f"{new} stands beside {old}: {_when(settings, old)} everything new is sealed to both")
    print(f"next: `sealstream keys rotate finish {old}`, or `sealstream keys rotate back {old}`")


def finish(old: Name, reason: Why = "") -> None:
    """Phase two: nothing new is sealed to the old KEK; what was sealed to it still opens with it.

    Example: `sealstream keys rotate finish server`
    """
    from infra.keys import rotation

    settings = load()
    run(move(settings, lambda rows: rotation.finish(rows, old), "rotate_kek_finish", old, reason))
    print(f"{old} only opens: {_when(settings, old)} nothing new is sealed to it")
    print(f"next: `sealstream keys rewrap {old}`, then `sealstream keys retire {old}`; the way back is still open")


def back(old: Name, reason: Why = "") -> None:
    """Undo a rotation in either phase: the old KEK is sealed to again, and the new one only opens.

    Example: `sealstream keys rotate back server`
    """
    from infra.keys import rotation

    settings = load()
    run(move(settings, lambda rows: rotation.back(rows, old), "rotate_kek_back", old, reason))
    print(f"{old} takes its place back: {_when(settings, old)} everything new is sealed to it")
    print("what was sealed to the other meanwhile still opens")


def retire(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Even though the archive has epochs that only it opens.")
    ] = False,
    reason: Why = "",
) -> None:
    """Use a KEK no more: it opens nothing from now on. Refused while the archive has epochs that only it opens.

    Example: `sealstream keys retire server`
    """
    from infra.keys import rotation

    settings = load()
    left = run(_only_openable_by(settings, name))
    if left and not force:
        raise ConfigError(
            f"{left} epochs in the archive open with {name!r} and no other KEK that is in use: "
            f"`sealstream keys rewrap {name}` first, or --force to give them up"
        )
    run(move(settings, lambda rows: rotation.retire(rows, name), "retire_kek", name, reason))
    print(f"{name} is retired: its private half may be destroyed once agents that were offline have come back")


def revoke(
    name: Name, reason: Why = "", yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """A KEK is in wrong hands: from this moment it is neither sealed to nor opened with, whatever it still protects.

    Example: `sealstream keys revoke officers-2026 --reason 'laptop stolen'`
    """
    from infra.keys import rotation

    settings = load()
    left = run(_only_openable_by(settings, name))
    if not yes:
        typer.confirm(f"Revoke {name}? {left} archived epochs open with no other KEK in use", abort=True)
    run(move(settings, lambda rows: rotation.revoke(rows, name), "revoke_kek", name, reason))
    print(f"{name} is revoked: {_when(settings, name)} nothing new is sealed to it, and nothing opens with it here")
    print(f"{left} archived epochs open with no other KEK in use")


def rewrap(
    name: Name,
    to: Annotated[list[str] | None, typer.Option("--to", help="KEKs to wrap to; the successor otherwise.")] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines with the progress, for scripts.")] = False,
    reason: Why = "",
) -> None:
    """Wrap the DEKs of old epochs in the archive to another KEK, after which the old one does not open them.

    Records are not touched. May be ended at any time and begun again: what is done stays done. For a KEK of the server
    the passphrase of the settings is taken.

    Example: `sealstream keys rewrap officers-2026 --passphrase-file ./officers.passphrase`
    """
    settings = load()
    row, identity, recipients = _rewrapping(settings, name, to or [], passphrase_file)
    show = tell_json if as_json else tell_person
    report = run(_rewrap(settings, row.name, identity, recipients, reason, show=show))
    if as_json:
        print(json.dumps(report))
        raise typer.Exit(Exit.NOTHING if report["failed"] else Exit.OK)
    print(f"{report['rewrapped']} epochs are wrapped to {', '.join(recipients)} and no longer to {name}")
    if report["failed"]:
        print(f"{report['failed']} headers name {name} and do not open with it: they were left as they are")
        raise typer.Exit(Exit.NOTHING)
    if not report["rewrapped"]:
        print(f"nothing in the archive is wrapped to {name}")


def _rewrapping(
    settings: Settings, name: str, to: list[str], passphrase_file: Any
) -> tuple[Registered, Unwrapper, dict[str, Recipient]]:
    from infra.keys.access import open_identity
    from infra.keys.registry import Purpose, State, find
    from infra.keys.table import registered
    from infra.settings import read_secret

    rows = registered(settings)
    row = find(rows, name)
    targets = [find(rows, one) for one in to or [row.successor] if one]
    if not targets:
        raise ConfigError(f"wrap to what? {name!r} has no successor: give --to NAME")
    for one in targets:
        if one.public == row.public or one.state is not State.ACTIVE or one.purpose is not row.purpose:
            raise ConfigError(f"{one.name!r} ({one.purpose.value}, {one.state.value}) cannot take over from {name!r}")
    own = row.purpose is Purpose.SERVER and not passphrase_file
    passphrase = read_secret(settings.keys.passphrase_file).encode() if own else ask_passphrase(passphrase_file)
    identity = open_identity(settings, row, passphrase)
    return row, identity, {one.name: one.recipient(settings.keys.dir) for one in targets}


async def _rewrap(
    settings: Settings,
    name: str,
    identity: Unwrapper,
    recipients: dict[str, Recipient],
    reason: str,
    *,
    show: Callable[[Progress], None],
) -> dict[str, int]:
    from infra.audit import audit_trail
    from sinks.archive.layout import Layout
    from sinks.archive.rewrapping import rewrap_archive

    target = f"kek {name}"
    async with audit_trail(settings) as write:
        await write("rewrap", target, outcome="asked", purpose=reason, detail={"to": ", ".join(recipients)})
        total = {"rewrapped": 0, "failed": 0}
        for progress in rewrap_archive(Layout(settings.archive.dir), identity, list(recipients.values())):
            total = {"rewrapped": progress.rewrapped, "failed": progress.failed}
            show(progress)
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        await write("rewrap", target, purpose=reason, detail={key: str(value) for key, value in total.items()})
    return total


def tell_person(progress: Progress) -> None:
    """On one line of the terminal, where there is one."""
    if sys.stderr.isatty():
        done = f"{progress.done}/{progress.days} agents' days, {progress.rewrapped} epochs"
        print(f"\r\x1b[K{done}", end="", file=sys.stderr)


def tell_json(progress: Progress) -> None:
    """A line a step."""
    print(json.dumps(asdict(progress)), flush=True)


async def move(settings: Settings, step: Move, action: str, name: str, reason: str) -> None:
    """Change rows by a step, audited first; the node's copy follows at once."""
    from infra.audit import audit_trail
    from infra.keys.table import change_row, connected, fetch_rows, read_rows

    async with connected(settings) as connection, audit_trail(settings) as write, connection.transaction():
        await connection.execute("LOCK TABLE encryption_kek IN SHARE ROW EXCLUSIVE MODE")
        changed = step(await fetch_rows(connection))
        detail = {row.name: row.state.value for row in changed}
        await write(action, f"kek {name}", purpose=reason, detail=detail)
        for row in changed:
            await change_row(connection, row)
    await read_rows(settings)


async def _register_if_new(settings: Settings, old: str, new: str, reason: str) -> None:
    from infra.keys.registry import Registered, find
    from infra.keys.table import connected, fetch_rows

    async with connected(settings) as connection:
        rows = await fetch_rows(connection)
    if any(new == row.name for row in rows):
        return
    purpose = find(rows, old).purpose
    row = Registered(f"{new}.pub.pem", private_beside(settings, new), locked(settings, new), purpose)
    row.recipient(settings.keys.dir)  # raises before anything is told
    await add_registered(settings, row, reason)


async def _only_openable_by(settings: Settings, name: str) -> int:
    """Epochs in the archive that open with this KEK and no other one in use."""
    from infra.keys.registry import USABLE, find
    from infra.keys.table import connected, fetch_rows
    from sinks.archive.layout import Layout
    from sinks.archive.rewrapping import count_epochs

    async with connected(settings) as connection:
        rows = await fetch_rows(connection)
    wanted = find(rows, name).recipient(settings.keys.dir).key_id
    others = set()
    for row in rows:
        if row.state in USABLE and row.public_path(settings.keys.dir).exists():
            others.add(row.recipient(settings.keys.dir).key_id)
    return count_epochs(Layout(settings.archive.dir), wanted, others - {wanted})


def _when(settings: Settings, name: str) -> str:
    """When agents follow: of what they seal end to end, an officer has the word."""
    from infra.keys.registry import Purpose, find
    from infra.keys.table import registered

    signed = find(registered(settings), name).purpose is Purpose.END_TO_END
    return "once an officer has signed it (`sealstream keys distribute`)" if signed else "within seconds"
