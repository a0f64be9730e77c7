"""`sealstream approved`: which addresses the ports between nodes serve (R5.1).

Never takes an address out silently that the settings or a file keep in.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change

if TYPE_CHECKING:
    from infra.approved import Network
    from infra.settings import Settings

Local = Annotated[bool, typer.Option("--local", help="In this node's file `approved`, instead of the shared table.")]


def register(app: typer.Typer) -> None:
    """Add `approved` with its commands."""
    approved = typer.Typer(no_args_is_help=True, help="Which addresses may speak to the ports between nodes.")
    approved.command("list")(show)
    approved.command("add")(add)
    approved.command("remove")(remove)
    approved.command("check")(check)
    app.add_typer(approved, name="approved")


def show(as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False) -> None:
    """List what is approved, and where that stands: the settings, the file of this node, the table of all nodes.

    Example: `sealstream approved list --json | jq -r '.[].network'`. Ends with 3 when the table cannot be asked.
    """
    import json

    from infra.cli.table import render_table
    from infra.settings import load_settings

    rows, away = asyncio.run(_gather(load_settings()))
    if as_json:
        print(json.dumps(rows))
    else:
        print(render_table(["NETWORK", "STANDS IN", "NOTE"], [list(row.values()) for row in rows]))
    if away:
        typer.echo(f"sealstream: {away}", err=True)
        raise typer.Exit(Exit.UNAVAILABLE)


def add(
    network: Annotated[str, typer.Argument(help="An address, or a network such as 10.1.0.0/16.")],
    note: Annotated[str, typer.Option(help="What it is, such as miner-2.")] = "",
    local: Local = False,
) -> None:
    """Approve an address or a network: it holds on every node within seconds, without a restart.

    Examples: `sealstream approved add 10.0.0.7 --note miner-2`, `sealstream approved add 10.0.0.7 --local`
    """
    from infra.approved import parse_network
    from infra.approved_store import add_to_file, add_to_table
    from infra.settings import load_settings

    settings, wanted = load_settings(), parse_network(network, "NETWORK")
    added = add_to_file(settings, wanted, note) if local else asyncio.run(add_to_table(settings, wanted, note))
    print(f"{wanted} is approved" if added else f"{wanted} was approved already")
    if added:
        note_change(settings, "approve", str(wanted), note=note, where="file" if local else "table")


def remove(
    network: Annotated[str, typer.Argument(help="As `list` shows it.")],
    local: Local = False,
) -> None:
    """Take an address or a network off the list: what is connected from there to our ports is cut off within seconds.

    Example: `sealstream approved remove 10.0.0.7`. Ends with 1 when it was not on the list.
    """
    from infra.approved import parse_network
    from infra.approved_store import remove_from_file, remove_from_table
    from infra.settings import load_settings

    settings, wanted = load_settings(), parse_network(network, "NETWORK")
    removed = remove_from_file(settings, wanted) if local else asyncio.run(remove_from_table(settings, wanted))
    if not removed:
        typer.echo(f"sealstream: {wanted} does not stand {'in the file' if local else 'in the table'}", err=True)
        raise typer.Exit(Exit.NOTHING)
    rows, _ = asyncio.run(_gather(settings))
    others = [row["stands_in"] for row in rows if _covers(parse_network(row["network"], ""), wanted)]
    note_change(settings, "disapprove", str(wanted), where="file" if local else "table")
    print(f"{wanted} is taken off" + (f"; it stays approved by {', '.join(others)}" if others else ""))


def check(address: Annotated[str, typer.Argument(help="The address of a connection.")]) -> None:
    """Say whether a connection from that address would be served now. Ends with 1 when not.

    Example: `sealstream approved check 10.0.0.7`
    """
    from infra.approved import Approval
    from infra.settings import load_settings

    rows, _ = asyncio.run(_gather(load_settings()))
    if not Approval.parse([row["network"] for row in rows], "list").approves(address):
        print(f"{address} is not approved")
        raise typer.Exit(Exit.NOTHING)
    print(f"{address} is approved")


async def _gather(settings: Settings) -> tuple[list[dict[str, str]], str]:
    """Every row with where it stands, and why the table is missing, if it is."""
    from infra.approved import FILE_NAME, Approval
    from infra.approved_store import read_notes, read_rows
    from schemas.errors import SealstreamError

    fixed = Approval.parse(settings.node.approved, "node.approved").networks
    rows = [{"network": str(it), "stands_in": "settings", "note": ""} for it in fixed]
    filed = read_notes(settings.node.data_dir / FILE_NAME)
    rows += [{"network": str(it), "stands_in": "file", "note": note} for it, note in filed]
    try:
        shared = await read_rows(settings)
    except SealstreamError as error:
        return rows, str(error)
    return rows + [{"network": str(it), "stands_in": "table", "note": note} for it, note in shared], ""


def _covers(network: Network, other: Network) -> bool:
    return network.version == other.version and other.subnet_of(network)  # type: ignore[arg-type]  # of one version
