"""`sealstream audit`: who did what to what and why, and whether anybody tampered with what is written of it.

Never changes the audit: there is no command that does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.plain import plain_json, plain_line
from infra.cli.times import parse_time_ms
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.audit_chain import Report

app = typer.Typer(no_args_is_help=True, help="Who did what, why; and whether the audit is whole.")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]


def register(root: typer.Typer) -> None:
    """Add `sealstream audit`."""
    root.add_typer(app, name="audit")


@app.command("list")
def show(  # noqa: PLR0917  # typer calls it by names
    since: Annotated[str, typer.Option(help="2h, 7d ago, or 2026-11-23T14:00.")] = "7d",
    action: Annotated[str, typer.Option(help="Only this action, such as unlock, enrol, erase.")] = "",
    actor: Annotated[str, typer.Option(help="Only by who is called so, or begins so.")] = "",
    target: Annotated[str, typer.Option(help="Only what was done to this; an agent's id, or its beginning.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest.")] = 200,
    as_json: AsJson = False,
) -> None:
    """List entries, the newest last. Exit code 1: there are none.

    Example: `sealstream audit list --action unlock --since 30d`
    """
    from infra.audit_reading import list_audit
    from infra.settings import load_settings

    rows = asyncio.run(
        list_audit(
            load_settings(), since_ms=parse_time_ms(since), action=action, actor=actor, target=target, limit=limit
        )
    )
    if as_json:
        print(plain_json(rows, indent=1))
    else:
        for row in rows:
            print(_line(row))
    if not rows:
        raise typer.Exit(Exit.NOTHING)


def _line(row: dict[str, Any]) -> str:
    detail = " ".join(f"{name}={value}" for name, value in sorted(row["detail"].items()))
    purpose = f"  “{row['purpose']}”" if row["purpose"] else ""
    who = f"{row['number']:>6}  {row['time']}  {row['actor']}  {row['action']} {row['outcome']}"
    return plain_line(f"{who}  {row['target']}{purpose}  {detail}")


@app.command()
def verify(
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="NUMBER:HASH that was kept elsewhere, or a file of such lines.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry: the chain of hashes, the table, Kafka's topic, and checkpoints. Exit code 1: tampered with.

    Examples: `sealstream audit verify`, `sealstream audit verify --checkpoint ~/checkpoints`
    """
    from infra.audit_reading import check_audit
    from infra.settings import load_settings

    report = asyncio.run(check_audit(load_settings(), _checkpoints(checkpoint or [])))
    print(json.dumps(_report(report), indent=1) if as_json else _describe(report))
    if not report.sound:
        raise typer.Exit(Exit.NOTHING)


@app.command()
def checkpoint() -> None:
    """Print the chain's state, to be kept where who administers this server cannot change it.

    Example: `sealstream audit checkpoint | ssh notary 'cat >> checkpoints'`, by cron; or `… | logger` to a log server
    """
    from infra.audit_reading import read_head
    from infra.settings import load_settings

    head = asyncio.run(read_head(load_settings()))
    if head is None:
        print("there is no entry yet", file=sys.stderr)
        raise typer.Exit(Exit.NOTHING)
    print(head)


def _checkpoints(given: list[str]) -> list[Any]:
    from infra.audit_chain import Checkpoint

    lines: list[str] = []
    for text in given:
        try:
            lines += Path(text).read_text("utf-8").split() if Path(text).is_file() else [text]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the checkpoints in {text} cannot be read: {error}") from None
    return [Checkpoint.parse(line) for line in lines]


def _report(report: Report) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "entries": report.entries,
        "head": str(report.head) if report.head else None,
        "in_kafka": report.in_kafka,
        "not_stored_yet": report.not_stored_yet,
        "damage": report.damage,
    }


def _describe(report: Report) -> str:
    lines = [f"{report.entries} entries in the chain, {report.in_kafka} in Kafka"]
    if report.not_stored_yet:
        lines.append(f"{report.not_stored_yet} are in Kafka and not in the database yet")
    if report.head:
        lines.append(f"checkpoint {report.head}")
    lines += [f"DAMAGE: {text}" for text in report.damage]
    lines.append("sound" if report.sound else "NOT SOUND: the audit was tampered with")
    return "\n".join(lines)
