"""`sealstream up`, `down`, `status` and `doctor`: the local stack of one data directory."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import typer

from infra.cli.exits import Exit, exit_code
from infra.datadir import DataDir
from schemas.errors import ConfigError

UP_HELP = """\
Start the local stack and wait until all of it serves.

Kafka, Elasticsearch, PostgreSQL, Redis, gateway, stream workers and sinks run in one data directory, in the
background, until `sealstream down`. The first start makes certificates, passwords, the server's KEK, topics and
tables there; a later start goes on from what is there.

Examples:

    sealstream up

    sealstream up --data /srv/sealstream --ports auto
"""


STATUS_HELP = """\
Show each component of the stack: phase, address, version, health, restarts; and the lag of what reads Kafka.

Ends with 1 when a component is not ready or not healthy.

Examples:

    sealstream status

    sealstream status --json | jq '.components[] | select(.phase != "ready")'
"""


DOCTOR_HELP = """\
Check this host: each failure says what to do. Ends with 1 when something is wrong.

Without settings, or where a local stack was made: programs, disk and memory that `sealstream up` needs. With settings:
contradictions among them, ports and who has them, open files, memory, disk and its fsync, secrets' modes, certificates'
term and names, and PostgreSQL, Kafka, Elasticsearch and Redis with their releases and clocks (docs/deployment.md).

Examples:

    sealstream doctor

    sealstream doctor --for node --data /var/lib/sealstream --json | jq '.findings[] | select(.passed | not)'
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("up", help=UP_HELP)(start)
    app.command("down")(stop)
    app.command("status", help=STATUS_HELP)(status)
    app.command("doctor", help=DOCTOR_HELP)(doctor)


def start(
    ports: Annotated[str, typer.Option(help="`usual`; `auto`: free ones where those are taken; `random`.")] = "usual",
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay attached; Ctrl-C stops the stack.")] = False,
    backing: Annotated[bool, typer.Option("--backing", help="Only Kafka, Elasticsearch, PostgreSQL, Redis.")] = False,
) -> None:
    """Start the local stack and wait until all of it serves."""
    from infra.cli.progress import Progress
    from infra.stack.local import Choice, follow_start, run_stack, sees_running, start_detached
    from infra.stack.ports import PortRule

    if ports not in list(PortRule):
        raise ConfigError(f"--ports is one of {', '.join(PortRule)}")
    data, progress = DataDir.find(), Progress()
    choice = Choice(PortRule(ports), backing_only=backing)
    if sees_running(data):
        print(f"The stack in {data.root} runs already: `sealstream status` shows it.")
        return
    if foreground:
        raise typer.Exit(asyncio.run(run_stack(data, choice, progress.show, exit_code)))
    try:
        state = follow_start(data, start_detached(data, choice), progress.show)
    except KeyboardInterrupt:
        print("The stack goes on starting: `sealstream status` shows it, `sealstream down` stops it.", file=sys.stderr)
        raise
    if state.fault:
        print(f"sealstream: {state.fault}", file=sys.stderr)
        raise typer.Exit(state.exit_code)
    print(f"Ready. Logs are in {data.root / 'log'}; `sealstream status` shows how it does, `sealstream down` stops it.")
    if not backing:
        _tell_of_first_link()


def _tell_of_first_link() -> None:
    """While nobody can sign in: the link that makes the first administrator, or how to have it again."""
    from gateway.accounts import links
    from infra.cli.accounts import ask
    from infra.settings import load_settings
    from schemas.errors import UnavailableError

    settings = load_settings()
    try:
        told = ask(lambda connection: links.offer_first_link(connection, settings.accounts.first_link_s))
    except UnavailableError:
        return  # `status` says what is away
    if told is not None:
        link = links.first_link(settings, told) if told else "`sealstream accounts first-link` prints the link anew"
        print(f"The console has no administrator yet. Make the first one: {link}")


def stop() -> None:
    """Stop the local stack, ours first and the stores last, and wait until its last process is gone."""
    from infra.cli.progress import Progress
    from infra.stack.local import sees_running, stop_stack

    data, progress = DataDir.find(), Progress()
    progress.skip(sees_running(data))
    ran = stop_stack(data, progress.show)
    print(f"The stack in {data.root} is stopped." if ran else f"No stack runs in {data.root}.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Show each component of the stack."""
    from infra.cli.overview import build_overview, render_overview

    data = DataDir.find()
    overview = asyncio.run(build_overview(data))
    print(json.dumps(overview, indent=2) if as_json else render_overview(overview))
    if not overview["healthy"]:
        raise typer.Exit(Exit.NOTHING)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    scope: Annotated[
        str,
        typer.Option(
            "--for",
            help="`stack`: what `up` needs; `node`; `worker`: a node without gateway; `auto`: by what is there.",
        ),
    ] = "auto",
) -> None:
    """Check this host."""
    from infra.cli.plain import plain_line
    from infra.doctor.run import Scope, examine

    if scope not in list(Scope):
        raise ConfigError(f"--for is one of {', '.join(Scope)}")
    findings = asyncio.run(examine(DataDir.find(), Scope(scope)))
    healthy = all(finding.passed for finding in findings)
    if as_json:
        rows = [{"name": it.name, "passed": it.passed, "told": it.told} for it in findings]
        print(json.dumps({"healthy": healthy, "findings": rows}, indent=2))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.passed else 'FAIL'}  {finding.name:<16} {plain_line(finding.told)}")
    if not healthy:
        raise typer.Exit(Exit.NOTHING)
