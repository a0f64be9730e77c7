"""`sealstream lifecycle tail`: what happens to nodes and agents, from Kafka or from port 42001."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.plain import plain_line

if TYPE_CHECKING:
    from infra.settings import Settings

_LAST = 10
_CONNECT_S = 5.0
_PAUSE_S = 1.0
_SILENT_S = 75.0
"""A mirror says something at least every 30 seconds."""

_PATIENCE_S = 30.0
"""How long mirrors that served may all be away."""

TAIL_HELP = """\
Show lifecycle events as they happen, after the newest few, until Ctrl-C.

They come from Kafka, or from the mirror that every node serves on port 42001 (`nc HOST 42001` shows the
same): with --port from this node's, with --mirror from any. A mirror tells the state of everything first,
and how old what it knows is. Of several mirrors the next one goes on where one fell silent; nothing is
left out, and nothing is told twice.

Examples:

    sealstream lifecycle tail

    sealstream lifecycle tail --from-start --once --json | jq 'select(.event == "lost")'

    sealstream lifecycle tail --port --from-start

    sealstream lifecycle tail --mirror 10.0.0.7:42001 --mirror 10.0.0.8:42001
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
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror", "--at", help="Read from the mirror at HOST:PORT; may be given again, for others."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after what there is (Kafka only).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, for scripts.")] = False,
) -> None:
    """Show lifecycle events as they happen."""
    from infra.settings import load_settings
    from schemas.errors import ConfigError

    settings = load_settings()
    own = f"{settings.gateway.host}:{settings.gateway.mirror_port}"
    places = [*([own] if port else []), *(mirror or [])]
    if places and once:
        raise ConfigError("--once reads from Kafka: a mirror has no end")
    source = follow_mirrors(places, from_start=from_start) if places else _from_kafka(settings, from_start, once)
    asyncio.run(_show(source, as_json=as_json))


def _group() -> None:
    """What happens to nodes and agents."""


async def _show(source: AsyncIterator[dict[str, Any]], *, as_json: bool) -> None:
    async for line in source:
        print(json.dumps(line) if as_json else render_event(line), flush=True)


def render_event(line: dict[str, Any]) -> str:
    """One event, or one line of a mirror, for a person to read."""
    kind = line.get("line", "event")
    if kind in _SPOKEN:
        of = f" of {line['node']}" if "node" in line else ""
        return f"# {plain_line(_SPOKEN[kind] + of)}: {_freshness(line)}"
    if kind != "event":
        rest = " ".join(f"{key}={value}" for key, value in line.items() if key != "line" and value != "")
        return f"# {kind:<8} {plain_line(rest)}"
    when = dt.datetime.fromtimestamp(line["time_ms"] / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    detail = plain_line(" ".join(f"{key}={value}" for key, value in line["detail"].items()))
    by = f"by {line['reporter']}" if line["reporter"] != line["id"] else ""
    return f"{when}  {line['event']:<12} {line['id']:<36} {line['address']} {detail} {by}".rstrip()


_SPOKEN = {
    "mirror": "mirror",
    "alive": "nothing has happened",
    "reset": "the topic was made anew, and offsets begin again",
}


def _freshness(line: dict[str, Any]) -> str:
    """How old that is which a mirror knows."""
    age_s = line.get("age_s")
    known = "has not read to the end yet" if age_s is None else f"as it was {_span(age_s)} ago"
    if line.get("kafka") == "connected":
        return f"{known}, Kafka is read"
    return f"{known}; KAFKA IS NOT READ, what happened since is not known"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


async def _from_kafka(settings: Settings, from_start: bool, once: bool) -> AsyncIterator[dict[str, Any]]:
    from infra.reading import Stretch, describe_record, find_topic, read_records
    from schemas.topics import LIFECYCLE

    stretch = Stretch(last=None if from_start else _LAST, follow=not once)
    async for record in read_records(settings, LIFECYCLE.name, stretch):
        described = describe_record(find_topic(LIFECYCLE.name), record)
        if "value" in described:
            yield {"offset": described["offset"], **described["value"]}


async def follow_mirrors(places: Sequence[str], *, from_start: bool) -> AsyncIterator[dict[str, Any]]:
    """What the first mirror that serves tells; when it ends, the next one goes on where it was.

    Raises `ConfigError` for a place that is none, `UnavailableError` once none of them serves any more.
    """
    from schemas.errors import UnavailableError

    parted = [_part_place(place) for place in places]
    request, heard_at = "from start" if from_start else "", float("-inf")
    faults: list[str] = []
    for turn in count():
        place, (host, port) = places[turn % len(places)], parted[turn % len(parted)]
        told, fault = False, ""
        try:
            async for line in _lines_of(host, port, request):
                if line.get("line") == "error":
                    fault = str(line.get("reason"))
                    break
                if not told and turn:
                    print(f"# goes on at the mirror {place}", file=sys.stderr)
                told, heard_at = True, time.monotonic()
                if line.get("line") == "event":
                    request = f"from {line['offset'] + 1}"
                elif not request and line.get("line") == "mirror":
                    request = f"from {line['next_offset']}"
                yield line
            fault = fault or "it ended the connection" + ("" if told else ": is this address among its approved nodes?")
        except (OSError, ValueError) as error:  # among them `TimeoutError`, and a line that is no JSON
            fault = (isinstance(error, OSError) and error.strerror) or str(error) or "it says nothing"
        faults = [*faults, f"the mirror at {place}: {fault}"][-len(places) :]
        if time.monotonic() - heard_at > _PATIENCE_S and turn >= len(places) - 1:
            raise UnavailableError("; ".join(faults))
        print(f"# {faults[-1]}", file=sys.stderr)
        if turn % len(places) == len(places) - 1:
            await asyncio.sleep(_PAUSE_S)


def _part_place(place: str) -> tuple[str, int]:
    from schemas.errors import ConfigError

    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{place!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


async def _lines_of(host: str, port: int, request: str) -> AsyncIterator[dict[str, Any]]:
    """One connection's lines; raises `OSError`, and `TimeoutError` when it says nothing for longer than it may."""
    async with asyncio.timeout(_CONNECT_S):
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    try:
        writer.write(f"{request}\n".encode())
        while line := await asyncio.wait_for(reader.readline(), _SILENT_S):
            yield json.loads(line)
    finally:
        writer.close()
