"""`sealstream lifecycle tail`: what happens to nodes and agents, from Kafka or from port 42001."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.plain import plain_line

if TYPE_CHECKING:
    from infra.settings import Settings

_LAST = 10

TAIL_HELP = """\
Show lifecycle events as they happen, after the newest few, until Ctrl-C.

They come from Kafka, or with --port from the mirror on port 42001, as any node sees them (so does
`nc HOST 42001` alone). The mirror tells the state of everything first.

Examples:

    sealstream lifecycle tail

    sealstream lifecycle tail --from-start --once --json | jq 'select(.event == "lost")'

    sealstream lifecycle tail --port --from-start

    sealstream lifecycle tail --at 10.0.0.7:42001
"""


def register(app: typer.Typer) -> None:
    """Add `lifecycle` with its command."""
    lifecycle = typer.Typer(no_args_is_help=True, help="What happens to nodes and agents.")
    lifecycle.callback()(_group)
    lifecycle.command("tail", help=TAIL_HELP)(tail)
    app.add_typer(lifecycle, name="lifecycle")


def tail(
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin at the first event ever.")] = False,
    port: Annotated[bool, typer.Option("--port", help="Read from this node's port 42001.")] = False,
    at: Annotated[str, typer.Option(help="Read from the mirror at HOST:PORT.")] = "",
    once: Annotated[bool, typer.Option("--once", help="End after what there is (Kafka only).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, for scripts.")] = False,
) -> None:
    """Show lifecycle events as they happen."""
    from infra.settings import load_settings
    from schemas.errors import ConfigError

    settings = load_settings()
    if (port or at) and once:
        raise ConfigError("--once reads from Kafka: a mirror has no end")
    place = at or f"{settings.gateway.host}:{settings.gateway.mirror_port}"
    source = _from_mirror(place, from_start=from_start) if port or at else _from_kafka(settings, from_start, once)
    asyncio.run(_show(source, as_json=as_json))


def _group() -> None:
    """What happens to nodes and agents."""


async def _show(source: AsyncIterator[dict[str, Any]], *, as_json: bool) -> None:
    async for line in source:
        print(json.dumps(line) if as_json else render_event(line), flush=True)


def render_event(line: dict[str, Any]) -> str:
    """One event, or one line of a mirror, for a person to read."""
    kind = line.get("line", "event")
    if kind != "event":
        rest = " ".join(f"{key}={value}" for key, value in line.items() if key != "line" and value != "")
        return f"# {kind:<8} {plain_line(rest)}"
    when = dt.datetime.fromtimestamp(line["time_ms"] / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    detail = plain_line(" ".join(f"{key}={value}" for key, value in line["detail"].items()))
    by = f"by {line['reporter']}" if line["reporter"] != line["id"] else ""
    return f"{when}  {line['event']:<12} {line['id']:<36} {line['address']} {detail} {by}".rstrip()


async def _from_kafka(settings: Settings, from_start: bool, once: bool) -> AsyncIterator[dict[str, Any]]:
    from infra.reading import Stretch, describe_record, find_topic, read_records
    from schemas.topics import LIFECYCLE

    stretch = Stretch(last=None if from_start else _LAST, follow=not once)
    async for record in read_records(settings, LIFECYCLE.name, stretch):
        described = describe_record(find_topic(LIFECYCLE.name), record)
        if "value" in described:
            yield {"offset": described["offset"], **described["value"]}


async def _from_mirror(place: str, *, from_start: bool) -> AsyncIterator[dict[str, Any]]:
    from schemas.errors import ConfigError, UnavailableError

    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{place!r} is not HOST:PORT")
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        if from_start:
            writer.write(b"from start\n")
        while line := await reader.readline():
            yield json.loads(line)
        writer.close()
    except OSError as error:
        raise UnavailableError(f"the mirror at {place} does not answer: {error.strerror or error}") from None
    raise UnavailableError(f"the mirror at {place} ended the connection: is this address among its approved nodes?")
