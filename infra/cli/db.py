"""`sealstream db`: the PostgreSQL servers, and making a standby the primary.

Never promotes beside a primary that serves, unless it is told to; where Patroni decides, it alone promotes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change

if TYPE_CHECKING:
    from infra.databases import Decision


def register(app: typer.Typer) -> None:
    """Add `db` with its commands."""
    db = typer.Typer(no_args_is_help=True, help="PostgreSQL's primary and its standbys.")
    db.command("status")(status)
    db.command("promote")(promote)
    app.add_typer(db, name="db")


def status(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """Show which server is primary, how far the others follow, and by whom one of them would be promoted.

    Ends with 1 when not exactly one is primary, or when something is wrong with who decides it.

    Example: `sealstream db status --json | jq -r '.servers[] | select(.role == "primary").address'`
    """
    from infra.cli.table import render_table
    from infra.databases import list_servers, read_decision
    from infra.settings import load_settings

    settings = load_settings()
    servers, followers = asyncio.run(list_servers(settings))
    decision = asyncio.run(read_decision(settings))
    if as_json:
        told = {"servers": [asdict(it) for it in servers], "followers": [asdict(it) for it in followers]}
        print(json.dumps({**told, "promotion": asdict(decision)}))
    else:
        rows = [(it.address, it.role, it.timeline or "", "this node" if it.here else "") for it in servers]
        print(render_table(("ADDRESS", "ROLE", "TIMELINE", ""), rows))
        if followers:
            followed = [(it.name, it.address, it.state, it.behind_bytes) for it in followers]
            print("\n" + render_table(("FOLLOWS", "FROM", "STATE", "BYTES BEHIND"), followed))
        print(f"\n{_explain(decision)}")
    if sum(it.role == "primary" for it in servers) != 1 or decision.faults:
        raise typer.Exit(Exit.NOTHING)


def promote(
    force: Annotated[
        bool, typer.Option("--force", help="Even beside a primary that serves; by Patroni, even far behind.")
    ] = False,
) -> None:
    """Make this node's standby the primary, when the primary is lost. All processes find it by themselves.

    The old primary, started again, sees that it was replaced: it keeps its data aside and follows. Where Patroni
    decides (`postgresql.etcd`), it is asked: it stops the old primary first. docs/ha.md.

    Example: `sealstream db promote`
    """
    from infra.databases import promote as do_promote
    from infra.settings import load_settings

    settings = load_settings()
    done = asyncio.run(do_promote(settings, force=force))
    print(f"{done.address} is the primary now (timeline {done.timeline})")
    if done.last_ms:
        last = dt.datetime.fromtimestamp(done.last_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
        print(f"The newest transaction that it has is of {last}.")
        print("What was recorded since is written to it again, from Kafka; what people changed in the console is not.")
    note_change(settings, "promote database", done.address)


def _explain(decision: Decision) -> str:
    """By whom a standby is promoted, in a few lines."""
    if decision.by != "Patroni":
        return f"Promoted by {decision.by}: `sealstream db promote` on a standby."
    if not decision.etcd and not decision.faults:
        return f"Promoted by {decision.by}; masters, and nodes with the role db, know more."
    well = sum(decision.etcd.values())
    lines = [f"Promoted by {decision.by}, over etcd ({well} of {len(decision.etcd)} members serve)."]
    lines += [f"{it.name} is {it.role.replace('_', ' ')}, {it.state}, {_behind(it.lag)}" for it in decision.members]
    return "\n".join([*lines, *decision.faults])


def _behind(lag: int) -> str:
    return "of unknown lag" if lag < 0 else f"{lag} bytes behind"
