"""`sealstream retention`: how long what was recorded is kept, what would go, holds, and erasing it now.

Never erases anything of the audit, nor anything on hold.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from infra.cli.exits import Exit
from infra.cli.table import render_table
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.settings import Settings
    from sinks.retention.holds import Placed
    from sinks.retention.run import Tally
    from sinks.retention.survey import LastRun, Oldest

app = typer.Typer(no_args_is_help=True, help="How long what was recorded is kept, and what is kept longer.")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Purpose = Annotated[str, typer.Option(help="Why; goes into the audit.")]


@app.command()
def show(as_json: AsJson = False) -> None:
    """What is kept for how long, the oldest there is, what the next run would erase, and holds.

    Example: `sealstream retention show --json | jq .goes`
    """
    from infra.settings import load_settings

    told = asyncio.run(_look(load_settings()))
    print(json.dumps(told, indent=2) if as_json else _describe(told))


async def _look(settings: Settings) -> dict[str, Any]:
    from sinks.postgresql.connection import store_errors
    from sinks.retention.holds import list_holds
    from sinks.retention.periods import Periods
    from sinks.retention.run import foresee, opened
    from sinks.retention.survey import last_run, oldest_of_all

    now = datetime.now(UTC)
    tally = await foresee(settings, now=now)
    async with opened(settings) as connection:
        with store_errors():
            oldest = await oldest_of_all(settings, connection)
            holds = await list_holds(connection)
            last, done = await last_run(connection, done=False), await last_run(connection, done=True)
    days = {**Periods.of(settings.retention, now).days, "audit": 0}
    return {
        "days": days,
        "oldest": _nested(oldest),
        "goes": _goes(tally),
        "holds": [_hold(hold) for hold in holds],
        "last_run": _run(last),
        "last_done": _run(done),
    }


def _nested(oldest: Oldest) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (store, kind), at in sorted(oldest.items()):
        found.setdefault(store, {})[kind] = at.date().isoformat()
    return found


def _goes(tally: Tally) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = {}
    for (store, kind), count in sorted(tally.counts.items()):
        if count:
            counts.setdefault(store, {})[kind] = count
    return {"counts": counts, "files": tally.files, "bytes": tally.bytes, "held_days": tally.held}


def _hold(hold: Placed) -> dict[str, Any]:
    return {
        "id": hold.hold_id,
        "agent": hold.agent_id,
        "person": hold.person,
        "since": hold.since and hold.since.isoformat(),
        "until": hold.until and hold.until.isoformat(),
        "purpose": hold.purpose,
        "placed_by": hold.placed_by,
        "placed": hold.placed_at.isoformat(timespec="seconds"),
        "released": hold.released_at and hold.released_at.isoformat(timespec="seconds"),
    }


def _run(run: LastRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "actor": run.actor,
        "started": run.started_at.isoformat(timespec="seconds"),
        "outcome": run.outcome,
        "detail": run.detail,
    }


def _describe(told: dict[str, Any]) -> str:
    stores = ("archive", "postgresql", "elasticsearch")
    rows = [
        [
            kind,
            f"{days} days" if days else "for ever",
            *(told["oldest"].get(store, {}).get(kind, "-") for store in stores),
            *(told["goes"]["counts"].get(store, {}).get(kind, 0) for store in stores),
        ]
        for kind, days in told["days"].items()
    ]
    head = ["KIND", "KEPT", *(f"OLDEST IN {store.upper()}" for store in stores)]
    lines = [render_table([*head, "EPOCHS GO", "ROWS GO", "DOCUMENTS GO"], rows), ""]
    goes, last = told["goes"], told["last_run"]
    lines.append(f"{goes['files']} archive files with {goes['bytes']} bytes would go; {_held(goes['held_days'])}")
    lines.append(
        f"last run: {last['started']} by {last['actor']}, {last['outcome']}" if last else "there was no run so far"
    )
    return "\n".join([*lines, _describe_holds(told["holds"])])


def _held(days: int) -> str:
    return f"files of {days} days of streams stay for who is on hold" if days else "nothing stays that is on hold"


def _describe_holds(holds: list[dict[str, Any]]) -> str:
    if not holds:
        return "no holds"
    rows = [
        (
            *(hold["id"], hold["person"] or hold["agent"], hold["since"] or "ever", hold["until"] or "no end"),
            *(hold["placed_by"], hold["released"] or "in force", hold["purpose"]),
        )
        for hold in holds
    ]
    return render_table(["HOLD", "WHOSE", "SINCE", "UNTIL", "PLACED BY", "RELEASED", "PURPOSE"], rows)


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase now what is too old, in every store, as is done daily by itself. Exit code 1 if a store failed.

    Example: `sealstream retention apply --dry-run`
    """
    from infra.settings import load_settings

    settings = load_settings()
    if not settings.retention.is_set:
        raise ConfigError("everything is kept for ever: set [retention] in sealstream.toml, docs/retention.md")
    if not dry_run and not yes:
        typer.confirm("Erase what is too old for good? `sealstream retention show` tells what that is", abort=True)
    tally = asyncio.run(_apply(settings, dry_run=dry_run))
    told = {**_goes(tally), "faults": tally.faults}
    print(json.dumps(told, indent=2) if as_json else _describe_tally(told, "would go" if dry_run else "erased"))
    if tally.faults:
        raise typer.Exit(Exit.NOTHING)


async def _apply(settings: Settings, *, dry_run: bool) -> Tally:
    from infra.audit import this_person
    from sinks.retention.run import apply as erase
    from sinks.retention.run import foresee

    now = datetime.now(UTC)
    return await (foresee(settings, now=now) if dry_run else erase(settings, actor=this_person(), now=now))


def _describe_tally(told: dict[str, Any], verb: str) -> str:
    units = {"archive": "epochs", "postgresql": "rows", "elasticsearch": "documents"}
    lines = [
        f"{store}: {count} {units[store]} of {kind}"
        for store, counts in told["counts"].items()
        for kind, count in counts.items()
    ]
    lines.append(f"archive: {told['files']} files with {told['bytes']} bytes")
    failed = [f"FAILED: {fault}" for fault in told["faults"]]
    return "\n".join([*(f"{line} {verb}" for line in lines), _held(told["held_days"]), *failed])


@app.command()
def hold(
    purpose: Purpose,
    agent: Annotated[str, typer.Option(help="Of this agent (UUID).")] = "",
    person: Annotated[str, typer.Option(help="Of this person: all agents that they are or were known by.")] = "",
    since: Annotated[str, typer.Option(help="From this day on, UTC; without it from the beginning.")] = "",
    until: Annotated[str, typer.Option(help="Until this day, included; without it there is no end.")] = "",
) -> None:
    """Keep what was recorded of somebody whatever its age, until the hold is released.

    Example: `sealstream retention hold --person ann --since 2026-11-01 --purpose 'case 4711'`
    """
    from infra.settings import load_settings

    if bool(agent) == bool(person):
        raise ConfigError("say whose: either --agent or --person")
    if not purpose.strip():
        raise ConfigError("say why: --purpose")
    whose = _agent(agent) if agent else None
    number, agents = asyncio.run(_place(load_settings(), whose, person or None, _day(since), _day(until), purpose))
    print(f"hold {number} is in force" + (f" for {agents} agents" if person else ""))
    if not agents:
        print(f"sealstream: nobody is known as {person} so far: is that the user name?", file=sys.stderr)


async def _place(  # noqa: PLR0917  # the command's options
    settings: Settings, agent: UUID | None, person: str | None, since: date | None, until: date | None, purpose: str
) -> tuple[int, int]:
    """Its number, and how many agents it holds now."""
    from infra.audit import audit_trail, this_person
    from sinks.postgresql.connection import store_errors
    from sinks.retention.holds import agents_of, place_hold
    from sinks.retention.run import opened

    detail, target = {"since": str(since or ""), "until": str(until or "")}, f"hold {agent or person}"
    async with opened(settings) as connection, audit_trail(settings) as write:
        await write("hold", target, outcome="asked", purpose=purpose, detail=detail)
        with store_errors():
            number = await place_hold(
                connection, agent=agent, person=person, since=since, until=until, purpose=purpose, by=this_person()
            )
            agents = 1 if person is None else len(await agents_of(connection, person))
        await write("hold", target, purpose=purpose, detail={**detail, "hold": str(number)})
    return number, agents


@app.command()
def release(number: Annotated[int, typer.Argument(help="The hold's number.")], purpose: Purpose) -> None:
    """End a hold: what it kept goes at the next run, if it is too old. Exit code 1 if no such hold is in force.

    Example: `sealstream retention release 3 --purpose 'case 4711 is closed'`
    """
    from infra.settings import load_settings

    if not asyncio.run(_release(load_settings(), number, purpose)):
        print(f"no hold {number} is in force")
        raise typer.Exit(Exit.NOTHING)
    print(f"hold {number} is released")


async def _release(settings: Settings, number: int, purpose: str) -> bool:
    from infra.audit import audit_trail, this_person
    from sinks.postgresql.connection import store_errors
    from sinks.retention.holds import release_hold
    from sinks.retention.run import opened

    async with opened(settings) as connection, audit_trail(settings) as write:
        await write("release", f"hold {number}", outcome="asked", purpose=purpose)
        with store_errors():
            released = await release_hold(connection, number, this_person())
        await write("release", f"hold {number}", outcome="done" if released else "failed", purpose=purpose)
    return released


@app.command()
def holds(
    released: Annotated[bool, typer.Option("--all", help="Also those that were released.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the holds in force.

    Example: `sealstream retention holds --all`
    """
    from infra.settings import load_settings

    found = [_hold(hold) for hold in asyncio.run(_list(load_settings(), released=released))]
    print(json.dumps(found, indent=2) if as_json else _describe_holds(found))


async def _list(settings: Settings, *, released: bool) -> list[Placed]:
    from sinks.postgresql.connection import store_errors
    from sinks.retention.holds import list_holds
    from sinks.retention.run import opened

    async with opened(settings) as connection:
        with store_errors():
            return await list_holds(connection, released=released)


def _agent(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not an agent's id (a UUID)") from None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError(f"{text!r} is not a day: write it like 2026-11-23") from None


def register(root: typer.Typer) -> None:
    """Add `sealstream retention`."""
    root.add_typer(app, name="retention")
