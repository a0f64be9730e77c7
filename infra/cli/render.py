"""`sealstream infra render`: configurations of other programs from the approved nodes (R5.1).

Never writes over a file that it did not make, unless told to.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.approved import Approval
    from infra.settings import Settings

MARK = "made by `sealstream infra render`"
_COMMAND_TIMEOUT_S = 30.0

RENDER_HELP = """\
Print the configuration of TARGET: `nginx` (9200), `pg_hba` (5432), `redis` (6379) or `nftables` (all ports of nodes).

It serves the addresses that `sealstream approved list` shows, and no others. With --follow it is written anew whenever
the list changes, and the command after --then is run, so that a node is let in or kept out within seconds.

Examples:

    sealstream infra render nftables --out /etc/nftables.d/sealstream.nft --follow --then 'nft -f {}'

    sealstream infra render pg_hba --out /etc/postgresql/15/main/pg_hba.conf --force

    sealstream infra render nginx --upstream https://127.0.0.1:9201 --listen 0.0.0.0:9200
"""


def register(app: typer.Typer) -> None:
    """Add `infra` with its command."""
    infra = typer.Typer(no_args_is_help=True, help="What runs beside our own processes.")
    infra.callback()(_group)
    infra.command("render", help=RENDER_HELP)(render)
    infra.command("targets")(show_targets)
    app.add_typer(infra, name="infra")


def render(  # noqa: PLR0917 - options of a command
    target: Annotated[str, typer.Argument(help="nginx, pg_hba, redis or nftables.")],
    out: Annotated[Path | None, typer.Option(help="Write it there, whole or not at all.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a file that somebody else made.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Write it anew whenever the list changes.")] = False,
    then: Annotated[str, typer.Option(help="Run this after writing; {} is the file.")] = "",
    upstream: Annotated[str, typer.Option(help="nginx: where Elasticsearch itself listens.")] = "",
    listen: Annotated[str, typer.Option(help="nginx: where to listen; the settings' address otherwise.")] = "",
) -> None:
    """Print or write a configuration."""
    from infra.render.target import TARGETS
    from infra.settings import load_settings
    from schemas.errors import ConfigError

    settings = load_settings()
    if target not in TARGETS:
        raise ConfigError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    if (follow or then) and out is None:
        raise ConfigError("--follow and --then need --out FILE")

    def write(approval: Approval) -> None:
        text = _text(settings, target, approval, upstream, listen)
        if out is None:
            print(text, end="")
        else:
            _write(out, text, force=force)
            _run(then, out)

    if follow:
        asyncio.run(_follow(settings, write))
    else:
        write(asyncio.run(_approval(settings)))


def show_targets() -> None:
    """List what can be rendered, where each file belongs on a Debian node, and how the program takes it up.

    Example: `sealstream infra targets`
    """
    from infra.cli.table import render_table
    from infra.render.target import TARGETS

    rows = [(name, target.usual, target.take_up) for name, target in TARGETS.items()]
    print(render_table(("TARGET", "USUAL PLACE", "TAKEN UP BY"), rows))


def _group() -> None:
    """What runs beside our own processes."""


def _text(settings: Settings, target: str, approval: Approval, upstream: str, listen: str) -> str:
    from infra.render import nginx
    from infra.render.target import TARGETS

    if target == "nginx":
        return nginx.render(settings, approval, upstream=upstream or nginx.UPSTREAM, listen=listen)
    return TARGETS[target].render(settings, approval)


async def _approval(settings: Settings) -> Approval:
    """What is approved now; where the table cannot be asked, what it said last."""
    from infra.approved import ApprovedNodes, connect
    from schemas.errors import SealstreamError

    nodes = ApprovedNodes(settings)
    try:
        connection = await connect(settings)
        try:
            await nodes.reload_table(connection)
        finally:
            await connection.close()
    except (OSError, TimeoutError, SealstreamError) as error:
        typer.echo(
            f"sealstream: the table of approved nodes cannot be asked ({error}): goes by its last copy", err=True
        )
    return nodes.approval


async def _follow(settings: Settings, write: Callable[[Approval], None]) -> None:
    """Write now, and again after each change, until cancelled."""
    from infra.approved import ApprovedNodes

    changed = asyncio.Event()
    nodes = ApprovedNodes(settings, changed.set)
    following = asyncio.create_task(nodes.follow())
    try:
        while True:
            changed.clear()
            await asyncio.to_thread(write, nodes.approval)
            await changed.wait()
    finally:
        following.cancel()


def _write(out: Path, text: str, *, force: bool) -> None:
    from infra.files import write_whole
    from schemas.errors import ConfigError

    try:
        foreign = out.exists() and MARK not in out.read_text("utf-8", "replace")
        if foreign and not force:
            raise ConfigError(f"{out} is somebody else's work: move it away, or --force")
        owner = out.stat() if out.exists() else None
        write_whole(out, text.encode(), mode=0o644)
        if owner is not None:
            import os

            os.chown(out, owner.st_uid, owner.st_gid)
            out.chmod(owner.st_mode & 0o777)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None


def _run(then: str, out: Path) -> None:
    """Run what takes the file up; raises `ConfigError` with its last words when it fails."""
    import shlex
    import subprocess

    from schemas.errors import ConfigError

    if not then:
        return
    command = [str(out) if word == "{}" else word for word in shlex.split(then)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{then!r} cannot be run: {error}") from None
    if ran.returncode != 0:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise ConfigError(f"{then!r} ended with {ran.returncode}: {' | '.join(said[-3:])}")
