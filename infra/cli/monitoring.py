"""`sealstream monitoring`: what Prometheus needs to know of this node.

Never talks to Prometheus, and changes nothing but the file that it is told to write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.exits import Exit
from schemas.errors import ConfigError


def register(root: typer.Typer) -> None:
    """Add `sealstream monitoring`."""
    app = typer.Typer(no_args_is_help=True, help="What Prometheus needs to know of this node.")
    app.callback()(_group)
    app.command()(targets)
    root.add_typer(app, name="monitoring")


def _group() -> None:
    """What Prometheus needs to know of this node."""


def targets(
    out: Annotated[Path | None, typer.Option(help="Write it into this file, whole, instead of printing it.")] = None,
) -> None:
    """Where sinks and workers of this node serve their metrics: JSON for `file_sd_configs`. Exit code 1: nowhere.

    Example: `sealstream monitoring targets --out /etc/prometheus/sealstream-targets.json`
    """
    from infra.files import write_whole
    from infra.monitoring.targets import find_targets
    from infra.settings import load_settings

    settings = load_settings()
    found = find_targets(settings.data, settings.node.id)
    text = json.dumps(found, indent=2) + "\n"
    if out is None:
        print(text, end="")
    else:
        try:
            write_whole(out, text.encode(), mode=0o644)
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    if not found:
        raise typer.Exit(Exit.NOTHING)
