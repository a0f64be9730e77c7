"""The command `sealstream`: finds the module of the command that was asked for, and runs it.

Never imports a command's module before it is needed: `sealstream --help` must answer at once.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from infra.cli.exits import Exit, exit_code
from infra.datadir import VARIABLE
from schemas.errors import ConfigError, SealstreamError

if TYPE_CHECKING:
    import typer

COMMANDS: dict[str, tuple[str, ...]] = {
    "infra.cli.stack": ("up", "down", "status", "doctor"),
    "infra.cli.topics": ("topics", "topic", "lag"),
    "infra.cli.lifecycle": ("lifecycle",),
    "infra.cli.settings": ("settings",),
    "infra.cli.keys": ("keys",),
    "infra.cli.envelope": ("envelope",),
    "infra.cli.agent": ("agent",),
    "infra.cli.gateway": ("gateway",),
    "infra.cli.streams": ("streams",),
    "infra.cli.replay": ("replay",),
    "infra.cli.demo": ("demo",),
    "infra.cli.sinks": ("sinks",),
    "infra.cli.search": ("search",),
    "infra.cli.archive": ("archive",),
    "infra.cli.retention": ("retention",),
    "infra.cli.unlock": ("unlock",),
    "infra.cli.api": ("api",),
    "infra.cli.accounts": ("accounts",),
    "infra.cli.teams": ("teams",),
    "infra.cli.audit": ("audit",),
    "infra.cli.dead_letters": ("dead-letters",),
    "infra.cli.approved": ("approved",),
    "infra.cli.bi": ("bi",),
    "infra.cli.db": ("db",),
    "infra.cli.backup": ("backup", "restore"),
    "infra.cli.monitoring": ("monitoring",),
    "infra.cli.node": ("node",),
    "infra.cli.nodes": ("nodes",),
    "infra.cli.miners": ("miner", "miners"),
    "infra.cli.plan": ("plan",),
    "infra.cli.pki": ("pki",),
    "infra.cli.render": ("infra",),
    "infra.cli.tls": ("tls",),
}
"""Module to the commands that its `register(app)` adds. Only the module of the command asked for is imported."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with a code of `Exit`."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; our own errors become one clear line."""
    logging.root.addHandler(logging.NullHandler())  # libraries keep quiet, until a process configures its logging
    try:
        rest = take_data_option(arguments)
        build_app(modules_for(rest))(args=rest, prog_name="sealstream")
    except SealstreamError as error:
        print(f"sealstream: {error}", file=sys.stderr)
        return exit_code(error)
    except SystemExit as end:  # how typer ends: help, wrong usage, `typer.Exit`
        return end.code if isinstance(end.code, int) else Exit.OK
    except KeyboardInterrupt:
        return 128 + 2
    return Exit.OK


def take_data_option(arguments: list[str]) -> list[str]:
    """Take `--data DIR` from wherever it stands before a `--` and put it into the environment."""
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            return [*rest, argument, *remaining]
        if argument == "--data":
            value = next(remaining, None)
        elif argument.startswith("--data="):
            value = argument.removeprefix("--data=")
        else:
            rest.append(argument)
            continue
        if not value:
            raise ConfigError("--data wants a directory, such as --data /var/lib/sealstream")
        os.environ[VARIABLE] = os.path.abspath(value)  # noqa: PTH100  # text in, text out
    return rest


def modules_for(arguments: list[str]) -> list[str]:
    """The modules to import: that of the command named first, or all when it is not known."""
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    return [module for module, names in COMMANDS.items() if name in names] or list(COMMANDS)


def build_app(modules: list[str]) -> typer.Typer:
    """The typer application with the commands of these modules."""
    import typer

    app = typer.Typer(
        name="sealstream",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Records activity on an organisation's endpoints and keeps it where only the right people can read it.",
        epilog="Every command takes `--data DIR`, or SEALSTREAM_DATA. Exit codes: 0 done, 1 nothing found or a check "
        "failed, 2 wrong usage or settings, 3 something needed is away, 4 refused.",
    )
    app.callback()(_root)
    for module in modules:
        importlib.import_module(module).register(app)
    return app


def _root() -> None:
    """Records activity on an organisation's endpoints and keeps it where only the right people can read it."""
