"""`sealstream node`: run this node by its roles, see what that is, and make the directories of a site's nodes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.exits import exit_code
from infra.datadir import DataDir
from schemas.errors import ConfigError

RUN_HELP = """\
Run what this node's roles need, in the foreground, until SIGTERM: stores, gateways, workers, sinks.

The roles stand in the settings (`node.roles`): master, app, miner, mining-db, db, bi; a node that has all of them needs
no other. What belongs to other nodes is waited for. `sealstream status` shows how it does, `sealstream down` stops it.

Examples:

    sealstream --data /var/lib/sealstream node run

    sealstream --data /srv/node-2 node run --detach
"""

PREPARE_HELP = """\
Make the directory of each node of a site: settings, certificates, and the secrets that its roles need.

SITE names the nodes (docs/nodes.md). What is there already stays: a node that was added to the file gets its directory,
and becomes known to the others. Copy each directory to its node, and start `sealstream node run` there.

Example:

    sealstream node prepare site.toml --out /root/site
"""


def register(app: typer.Typer) -> None:
    """Add `node` with its commands."""
    node = typer.Typer(no_args_is_help=True, help="This node: run it by its roles; and prepare those of a site.")
    node.command("run", help=RUN_HELP)(run)
    node.command("show")(show)
    node.command("prepare", help=PREPARE_HELP)(prepare)
    app.add_typer(node, name="node")


def run(
    detach: Annotated[bool, typer.Option("--detach", help="In the background; returns once all serves.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Log as JSON, for a service manager.")] = False,
) -> None:
    """Run what this node's roles need."""
    from infra.cli.progress import Progress
    from infra.logging import configure_logging
    from infra.stack.local import Choice, follow_start, run_stack, start_detached

    data = DataDir.find()
    choice = Choice(node=_is_prepared(data))
    show_progress = Progress().show
    if detach:
        state = follow_start(data, start_detached(data, choice), show_progress)
        if state.fault:
            print(f"sealstream: {state.fault}", file=sys.stderr)
            raise typer.Exit(state.exit_code)
        print(f"Ready. Logs are in {data.root / 'log'}.")
        return
    configure_logging("node", json=as_json)
    raise typer.Exit(asyncio.run(run_stack(data, choice, show_progress, exit_code)))


def show(as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False) -> None:
    """Show what this node's roles make it run: stores, and processes with their ports.

    Example: `sealstream --data /var/lib/sealstream node show`
    """
    from infra.cli.table import render_table
    from infra.settings import load_settings
    from infra.stack.roles import processes_of, stores_of

    settings = load_settings()
    stores, processes = sorted(stores_of(settings)), processes_of(settings)
    if as_json:
        rows = [{"name": it.name, "address": it.address} for it in processes]
        told = {"id": settings.node.id, "roles": settings.node.roles, "stores": stores, "processes": rows}
        print(json.dumps(told, indent=2))
        return
    print(f"{settings.node.id}: {', '.join(settings.node.roles)}\n")
    table = [[store, "store", ""] for store in stores] + [[it.name, "process", it.address] for it in processes]
    print(render_table(["NAME", "KIND", "ADDRESS"], table))


def prepare(
    site: Annotated[Path, typer.Argument(help="The site's file.")],
    out: Annotated[Path, typer.Option(help="Folder for the nodes' directories, and for the site's own secrets.")],
) -> None:
    """Make the directory of each node of a site."""
    from infra.nodes.prepare import SHARED, prepare_site
    from infra.nodes.site import load_site

    changed = []
    for node in prepare_site(load_site(site), out.absolute()):
        print(f"{node.name:<16} {'made' if node.made else 'is there'}  {node.directory}")
        changed += [node.name] if node.changed else []
    for name in changed:
        print(f"{name}: its settings are not what {site} says now; they were left as they are", file=sys.stderr)
    print(f"\nCopy each to its node. {out / SHARED} has the CA's key and all secrets: keep it where nobody else reads.")


def _is_prepared(data: DataDir) -> bool:
    """Whether the directory is one node's of several; one that is whole, or empty, is made ready as by `up`."""
    from infra.settings import load_settings
    from infra.stack.roles import is_whole

    if not data.config.exists():
        if data.root.exists() and any(data.root.iterdir()):
            raise ConfigError(f"{data.root} has no sealstream.toml and is not empty: name another by --data DIR")
        return False
    return not is_whole(load_settings(data.config))
