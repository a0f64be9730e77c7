"""`sealstream archive`: check, index, read and erase what the disk store keeps.

Never opens an envelope: who wants that takes one out and uses `sealstream envelope open`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.reconcile import reconcile
from infra.cli.times import parse_time_ms
from schemas.errors import ConfigError, UnavailableError
from schemas.identity import agent_bytes
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from infra.settings import Settings
    from sinks.archive.reading import ArchivedEnvelope
    from sinks.archive.verify import Report

app = typer.Typer(no_args_is_help=True, help="Check, index, read and erase what the disk store keeps.")
app.command()(reconcile)

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check every byte, every chain of records and every epoch header. Exit code 1 if something is damaged.

    Gaps are records that never came to the archive; they are told, and are no damage. No key is needed, and the
    archive may be written at the same time.

    Example: `sealstream archive verify --json | jq .damage`
    """
    from sinks.archive.verify import Report
    from sinks.archive.verify import verify as check

    settings = _settings()
    report = Report()
    for path, report in check(settings.archive.dir):  # the last one is the whole
        if not as_json and sys.stderr.isatty():
            print(f"\r\x1b[K{report.records} records, {report.bytes >> 20} MiB  {path.name}", end="", file=sys.stderr)
    if sys.stderr.isatty() and not as_json:
        print("\r\x1b[K", end="", file=sys.stderr)
    print(json.dumps(_report(report), indent=2) if as_json else _describe(report))
    if not report.sound:
        raise typer.Exit(Exit.NOTHING)


def _report(report: Report) -> dict[str, Any]:
    names = ("files", "records", "bytes", "erased", "torn_bytes", "damage", "duplicates", "gaps")
    return {"sound": report.sound, **{name: getattr(report, name) for name in names}}


def _describe(report: Report) -> str:
    lines = [f"{report.files} files, {report.records} records, {report.bytes} bytes"]
    if report.erased:
        lines.append(f"{report.erased} records were erased and cannot be opened")
    if report.torn_bytes:
        lines.append(f"{report.torn_bytes} bytes at the end of files that grow are not whole (yet)")
    lines += [f"gap: {gap}" for gap in report.gaps]
    lines += [f"DAMAGE: {text}" for text in (*report.damage, *report.duplicates)]
    lines.append("sound" if report.sound else "NOT SOUND")
    return "\n".join(lines)


@app.command()
def reindex() -> None:
    """Make the index in PostgreSQL again from the files. The archive may be written at the same time.

    Example: `sealstream archive reindex`
    """
    files, runs = asyncio.run(_reindex(_settings()))
    print(f"{files} files, {runs} runs of records indexed")


async def _reindex(settings: Settings) -> tuple[int, int]:
    from infra.migrate import migrate
    from infra.settings import postgresql_dsn
    from sinks.archive.index import reindex as make_index
    from sinks.archive.layout import Layout
    from sinks.postgresql.connection import connect, store_errors

    connection = await connect(postgresql_dsn(settings))
    try:
        with store_errors():
            await migrate(connection)
            return await make_index(connection, Layout(settings.archive.dir))
    finally:
        connection.terminate()


@app.command()
def cat(  # noqa: PLR0917  # typer calls it by names
    agent: Annotated[list[str] | None, typer.Option(help="Only this agent (UUID); may be given again.")] = None,
    stream: Annotated[list[str] | None, typer.Option(help="Only this stream; may be given again.")] = None,
    since: Annotated[str, typer.Option(help="Captured since: 2h, 7d ago, or 2026-11-23T14:00.")] = "",
    until: Annotated[str, typer.Option(help="Captured before: likewise.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write each envelope into this directory.")] = None,
) -> None:
    """List archived envelopes, a JSON object a line; with `--out` take them out, byte for byte.

    Examples: `sealstream archive cat --stream screen --since 1h | wc -l`,
    `sealstream archive cat --agent 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1 --limit 10 --out /tmp/envelopes`
    """
    from sinks.archive.reading import read_envelopes

    settings = _settings()
    found = 0
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for envelope in read_envelopes(
        settings.archive.dir,
        kinds=[_kind(label) for label in stream] if stream else tuple(StreamKind),
        agents=[_agent(text) for text in agent] if agent else None,
        since_ms=parse_time_ms(since) if since else None,
        until_ms=parse_time_ms(until) if until else None,
    ):
        found += 1
        print(json.dumps(_line(envelope)))
        if out is not None:
            name = f"{envelope.id.agent}-{envelope.id.epoch_id.hex()[:16]}-{envelope.id.sequence:08d}.envelope"
            (out / name).write_bytes(envelope.value)
        if found == limit:
            break
    if not found:
        raise typer.Exit(Exit.NOTHING)


def _line(envelope: ArchivedEnvelope) -> dict[str, Any]:
    return {
        "agent_id": envelope.id.agent,
        "epoch_id": envelope.id.epoch_id.hex(),
        "sequence": envelope.id.sequence,
        "stream": envelope.kind.label,
        "captured": datetime.fromtimestamp(envelope.capture_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "bytes": len(envelope.value),
        "topic": envelope.topic,
        "partition": envelope.partition,
        "offset": envelope.offset,
        "headers": {name: value.decode("utf-8", "replace") for name, value in envelope.headers},
    }


@app.command()
def erase(
    agent: Annotated[str, typer.Option(help="The agent (UUID).")],
    day: Annotated[str, typer.Option(help="The day, UTC, such as 2026-11-23.")],
    purpose: Annotated[str, typer.Option(help="Why; goes into the audit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Destroy an agent's wrapped keys of one day: nobody can open what was recorded then, now or later.

    Documents already mined from it stay in Elasticsearch, and envelopes stay in Kafka until their retention ends.

    Example: `sealstream archive erase --day 2026-11-23 --agent 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1 --purpose GDPR`
    """
    identity = _agent(agent)
    try:
        date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"{day!r} is not a day: write it like 2026-11-23") from None
    if not yes:
        typer.confirm(f"Destroy what agent {agent} recorded on {day} for good?", abort=True)
    erased = asyncio.run(_erase(_settings(), identity, day, purpose))
    print(f"{erased} epochs erased")
    if not erased:
        raise typer.Exit(Exit.NOTHING)


async def _erase(settings: Settings, agent: bytes, day: str, purpose: str) -> int:
    from infra.audit import audit_trail
    from infra.lifecycle import wall_clock_ms
    from schemas.identity import agent_text
    from sinks.archive.headers import HeaderStore
    from sinks.archive.layout import Layout

    target = f"archive {agent_text(agent)} {day}"
    async with audit_trail(settings) as write:
        await write("erase", target, outcome="asked", purpose=purpose)
        erased = HeaderStore(Layout(settings.archive.dir)).erase(agent, day, wall_clock_ms())
        await write("erase", target, purpose=purpose, detail={"epochs": str(erased)})
    return erased


def _settings() -> Settings:
    from infra.settings import load_settings

    settings = load_settings()
    if not settings.archive.dir.is_dir():
        raise UnavailableError(f"there is no archive at {settings.archive.dir}")
    return settings


def _agent(text: str) -> bytes:
    try:
        return agent_bytes(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not an agent's id (a UUID)") from None


def _kind(label: str) -> StreamKind:
    try:
        return StreamKind.from_label(label)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def register(root: typer.Typer) -> None:
    """Add `sealstream archive`."""
    root.add_typer(app, name="archive")
