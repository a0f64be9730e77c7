"""`sealstream nodes`: drain nodes and take them back, and update child nodes over SSH (R5.4).

Never takes a host key that nobody confirmed, and never knows a password.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.nodes.rollout import Drainer, Progress
    from infra.nodes.steps import Release
    from infra.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Names = Annotated[list[str] | None, typer.Argument(help="Nodes; all that are updated from here otherwise.")]
Processes = Annotated[
    list[str], typer.Argument(help="Nodes such as node-2, or single processes such as node-2/gateway.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; goes into the audit.")]


def register(app: typer.Typer) -> None:
    """Add `nodes` with its commands."""
    nodes = typer.Typer(no_args_is_help=True, help="Nodes: drain, take back, update over SSH.")
    nodes.command("list")(show)
    nodes.command("add")(add)
    nodes.command("remove")(remove)
    nodes.command("drain")(drain)
    nodes.command("resume")(resume)
    nodes.command("update")(update)
    app.add_typer(nodes, name="nodes")


def add(  # noqa: PLR0917  # typer calls it by names
    name: Annotated[str, typer.Argument(help="The node's `node.id`.")],
    address: Annotated[str, typer.Argument(help="ssh://user@host[:port]")],
    host_key: Annotated[
        str, typer.Option(help="Its SSH host key, as /etc/ssh/ssh_host_ed25519_key.pub there has it.")
    ] = "",
    accept_host_key: Annotated[
        bool, typer.Option("--accept-host-key", help="Take the key that it shows now: compare the fingerprint.")
    ] = False,
    root: Annotated[str, typer.Option(help="Its folder of releases; `update.root` of the settings otherwise.")] = "",
    restart: Annotated[str, typer.Option(help="Command that restarts it; `update.restart` otherwise.")] = "",
    check: Annotated[
        str, typer.Option(help="Command that ends with 0 when it is well; `update.check` otherwise.")
    ] = "",
) -> None:
    """Say how a child node is reached for updates, or change it; its host key is pinned.

    Example: `sealstream nodes add node-2 ssh://sealstream@10.0.0.7 --host-key "$(cat node-2.pub)"`
    """
    from dataclasses import replace

    from infra.nodes.fleet import Fleet, fingerprint, parse_address, parse_host_key
    from infra.nodes.remote import shown_host_key
    from infra.settings import load_settings

    settings = load_settings()
    fleet, node = Fleet(settings), replace(parse_address(name, address), root=root, restart=restart, check=check)
    if bool(host_key) == accept_host_key:
        raise ConfigError(
            "say which host key to trust: --host-key 'ssh-ed25519 …', or --accept-host-key for the one it shows"
        )
    key = parse_host_key(host_key) if host_key else asyncio.run(shown_host_key(node))
    fleet.add(node, key)
    print(f"{name} is updated from here by {node.address}")
    print(f"host key {key.split()[0]} {fingerprint(key)}" + ("" if host_key else "   compare it on the node"))
    note_change(settings, "add_node", f"node {name}", address=node.address, host_key=fingerprint(key))


def remove(name: Annotated[str, typer.Argument(help="As `list` shows it.")]) -> None:
    """Update a node from here no more, and forget its host key.

    Example: `sealstream nodes remove node-2`
    """
    from infra.nodes.fleet import Fleet
    from infra.settings import load_settings

    settings = load_settings()
    Fleet(settings).remove(name)
    print(f"{name} is not updated from here any more")
    note_change(settings, "remove_node", f"node {name}")


def show(as_json: AsJson = False) -> None:
    """List the nodes that are updated from here, and how far the last roll-out is.

    Example: `sealstream nodes list --json | jq '.rollout.state'`
    """
    from dataclasses import asdict

    from infra.cli.table import render_table
    from infra.nodes.fleet import Fleet, fingerprint
    from infra.nodes.rollout import load_progress
    from infra.settings import load_settings

    fleet = Fleet(load_settings())
    nodes, last = fleet.nodes(), load_progress(fleet.folder)
    rows: list[dict[str, Any]] = []
    for node in nodes.values():
        key = fleet.host_key(node)
        one = last.nodes.get(node.name) if last else None
        how = asdict(one) if one else {"step": "", "message": "", "before": ""}
        rows.append({**asdict(node), "address": node.address, "fingerprint": fingerprint(key) if key else "", **how})
    if as_json:
        print(json.dumps({"nodes": rows, "rollout": last.to_json() if last else None}))
    elif rows:
        cells = [[row["name"], row["address"], row["fingerprint"], row["step"], row["message"]] for row in rows]
        print(render_table(["NODE", "ADDRESS", "HOST KEY", "UPDATE", ""], cells))
        if last:
            print(f"\nthe last roll-out, of {last.version}: {last.state}")
    else:
        print("no node is updated from here: `sealstream nodes add NAME ssh://user@host`")
    if not rows:
        raise typer.Exit(Exit.NOTHING)


def drain(processes: Processes, reason: Why = "") -> None:
    """Have nodes finish what they have and take nothing new: agents go elsewhere or spool, partitions go to others.

    They stay drained, also over a restart, until `sealstream nodes resume`. Example: `sealstream nodes drain node-2`
    """
    _wish(processes, "drained", reason)


def resume(processes: Processes, reason: Why = "") -> None:
    """Take drained nodes back.

    Example: `sealstream nodes resume node-2/gateway`
    """
    _wish(processes, "serving", reason)


def _wish(processes: list[str], wanted: str, reason: str) -> None:
    from infra.settings import load_settings

    changed = asyncio.run(_put_wishes(load_settings(), processes, wanted, reason))
    for node_id in changed:
        print(f"{node_id} is wished {wanted}: it follows within seconds")


async def _put_wishes(settings: Settings, processes: list[str], wanted: str, reason: str) -> list[str]:
    from infra.audit import audit_trail, this_person
    from infra.keys.table import connected
    from infra.nodes.wishes import Wanted, Wish, may_drain, put_wish

    async with connected(settings) as connection, audit_trail(settings) as write:
        rows = await connection.fetch("SELECT node_id FROM node_state WHERE state <> 'left' ORDER BY node_id")
        known = [row["node_id"] for row in rows if may_drain(row["node_id"])]
        chosen: list[str] = []
        for name in processes:
            found = [one for one in known if one == name or one.partition("/")[0] == name]
            if not found:
                there = ", ".join(known) or "none"
                raise ConfigError(f"{name!r} is no node that can be drained (there are: {there})")
            chosen += found
        action = "drain_node" if wanted == "drained" else "resume_node"
        for node_id in chosen:
            await write(action, f"node {node_id}", purpose=reason)
            await put_wish(connection, Wish(node_id, Wanted(wanted), this_person(), reason))
    return chosen


def update(  # noqa: PLR0917  # typer calls it by names
    names: Names = None,
    wheel: Annotated[Path | None, typer.Option(help="Wheel of the release to install.")] = None,
    version: Annotated[str, typer.Option(help="Or a version that the nodes' own package index has.")] = "",
    no_drain: Annotated[
        bool, typer.Option("--no-drain", help="Restart nodes as they are: agents notice and come again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines with the progress, for scripts.")] = False,
    reason: Why = "",
) -> None:
    """Update child nodes, one at a time: drain, copy, install beside the old release, switch, restart, check, resume.

    The first node that fails gets its old release back, and the roll-out ends. Run again after an interruption, it goes
    on with the nodes that were not done.

    Example: `sealstream nodes update --wheel dist/sealstream-1.4.0-py3-none-any.whl`
    """
    from infra.nodes.fleet import Fleet, wheel_of
    from infra.nodes.steps import Release
    from infra.settings import load_settings

    if (wheel is None) == (not version):
        raise ConfigError("what is to be installed? Give --wheel FILE, or --version V")
    release = Release(*wheel_of(wheel), wheel.absolute()) if wheel else Release(version)
    settings = load_settings()
    chosen = list(names or Fleet(settings).nodes())
    progress = asyncio.run(_update(settings, chosen, release, drained=not no_drain, as_json=as_json, reason=reason))
    if progress.state == "stopped":
        print("sealstream: stopped before the next node: run it again to go on", file=sys.stderr)
        raise typer.Exit(Exit.NOTHING)
    if progress.state != "done":
        failed = next((f"{name}: {one.message}" for name, one in progress.nodes.items() if one.message), "")
        print(f"sealstream: the roll-out ended: {failed}", file=sys.stderr)
        raise typer.Exit(Exit.REFUSED)
    if not as_json:
        print(f"{len(progress.nodes)} nodes run {release.version}")


async def _update(
    settings: Settings, names: list[str], release: Release, *, drained: bool, as_json: bool, reason: str
) -> Progress:
    from infra.audit import audit_trail
    from infra.nodes.draining import WishDrainer
    from infra.nodes.fleet import Fleet
    from infra.nodes.rollout import RollOut, Undrained

    told: dict[str, str] = {}
    async with audit_trail(settings) as write:

        async def tell(progress: Progress) -> None:
            if as_json:
                print(json.dumps(progress.to_json()), flush=True)
            for name, one in progress.nodes.items():
                if told.get(name) == one.step:
                    continue
                told[name] = one.step
                if not as_json and one.step != "waiting":
                    print(f"{name:20} {one.step:10} {one.message}".rstrip(), flush=True)
                if one.step in {"done", "back", "failed"}:
                    outcome = "done" if one.step == "done" else "failed"
                    detail = {"release": release.name, "before": one.before, "where": one.message[:500]}
                    await write("update_node", f"node {name}", outcome=outcome, purpose=reason, detail=detail)

        detail = {"release": release.name, "nodes": ", ".join(names)}
        await write("update_nodes", f"release {release.version}", outcome="asked", purpose=reason, detail=detail)
        drainer: Drainer = WishDrainer(settings) if drained else Undrained()
        rollout = RollOut(settings, Fleet(settings), release, drainer, tell)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, rollout.stop)
        return await rollout.run(names)
