"""`sealstream topics`, `topic cat` and `lag`: what is in Kafka, and how far its readers are behind."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from infra.cli.exits import Exit
from infra.cli.table import render_table

_DAY_MS = 86_400_000

CAT_HELP = """\
Print records of a topic, one JSON object a line: Avro decoded, of envelopes the clear header (nothing is opened).

Examples:

    sealstream topic cat documents --last 5

    sealstream topic cat envelopes.screen --from-start --limit 100 | jq .envelope.sequence

    sealstream topic cat activity --follow --key 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1
"""

LAG_HELP = """\
Show how many records each consumer group has yet to read.

Examples:

    sealstream lag

    sealstream lag --by-partition --group mine

    sealstream lag --json | jq 'map(.lag) | add'
"""

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    topic = typer.Typer(no_args_is_help=True, help="Look into one topic.")
    topic.command("cat", help=CAT_HELP)(cat)
    topic.command("grow")(grow)
    app.add_typer(topic, name="topic")
    app.command("topics")(topics)
    app.command("lag", help=LAG_HELP)(lag)


def topics(as_json: AsJson = False) -> None:
    """List the topics: what they hold, by what key, how many records, in how many copies, how long they are kept."""
    from infra.copies import read_copies
    from infra.reading import read_extents
    from infra.settings import load_settings
    from schemas.topics import TOPICS

    settings = load_settings()
    extents = asyncio.run(read_extents(settings))
    copies = {it.topic: it for it in asyncio.run(read_copies(settings))}
    rows = []
    for name, topic in TOPICS.items():
        places = [it for it in extents if it.topic == name]
        rows.append(
            {
                "topic": name,
                "partitions": len(places),
                "records": sum(it.end - it.start for it in places),
                "replicas": copies[name].replicas if name in copies else 0,
                "in_sync": copies[name].in_sync if name in copies else 0,
                "kept_days": topic.retention_ms / _DAY_MS if topic.retention_ms >= 0 else None,
                "key": topic.key,
                "record": topic.record,
                "help": topic.help,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    head = ("TOPIC", "PARTITIONS", "RECORDS", "REPLICAS", "IN SYNC", "KEPT", "KEY", "RECORD", "HOLDS")
    print(
        render_table(
            head, [[_kept(value) if key == "kept_days" else value for key, value in row.items()] for row in rows]
        )
    )
    if short := [it.topic for it in copies.values() if it.replicas < it.wanted]:
        wanted = max(it.wanted for it in copies.values())
        print(f"\n{', '.join(short)}: fewer replicas than {wanted}, as is wanted. `sealstream topic grow` gives more.")


def grow(
    within_s: Annotated[float, typer.Option(min=1, help="Seconds to wait until the new replicas are in sync.")] = 600,
) -> None:
    """Give topics as many replicas as the settings and the brokers want, such as after brokers were added.

    Example: `sealstream topic grow --within-s 3600`
    """
    from infra.copies import grow_topics
    from infra.settings import load_settings

    grown = asyncio.run(grow_topics(load_settings(), within_s=within_s))
    print(f"{', '.join(grown)}: have more replicas, in sync" if grown else "Every topic has replicas enough.")


def cat(  # noqa: PLR0917  # typer calls it by names
    topic: Annotated[str, typer.Argument(help="Name, as `sealstream topics` lists it.")],
    last: Annotated[int, typer.Option(min=0, help="Begin this many records before the end of each partition.")] = 10,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin at the oldest record.")] = False,
    offset: Annotated[int | None, typer.Option(min=0, help="Begin at this offset.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many records.")] = None,
    key: Annotated[str, typer.Option(help="Only records with this key, such as an agent's id.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
) -> None:
    """Print records of a topic."""
    from infra.reading import Stretch, describe_record, find_topic, read_records
    from infra.settings import load_settings

    found, settings = find_topic(topic), load_settings()
    begin = None if from_start or offset is not None else last
    stretch = Stretch(last=begin, offset=offset, partition=partition, limit=None if key else limit, follow=follow)

    async def show() -> int:
        shown = 0
        async for record in read_records(settings, topic, stretch):
            if key and record.key != key.encode():
                continue
            print(json.dumps(describe_record(found, record), default=_plain), flush=follow)
            shown += 1
            if shown == limit:
                break
        return shown

    if asyncio.run(show()) == 0:
        raise typer.Exit(Exit.NOTHING)


def lag(
    group: Annotated[str, typer.Option(help="Only this consumer group.")] = "",
    by_partition: Annotated[bool, typer.Option("--by-partition", help="A row for each partition.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how many records each consumer group has yet to read."""
    from infra.lag import read_lag
    from infra.settings import load_settings

    rows = [row for row in asyncio.run(read_lag(load_settings())) if group in ("", row.group)]
    if as_json:
        print(json.dumps([{**_fields(row), "lag": row.lag} for row in rows], indent=2))
    elif by_partition:
        head = ("GROUP", "TOPIC", "PARTITION", "NEXT OFFSET", "END", "LAG")
        print(render_table(head, [(*_fields(row).values(), row.lag) for row in rows]))
    else:
        sums: dict[tuple[str, str], int] = {}
        for row in rows:
            sums[row.group, row.topic] = sums.get((row.group, row.topic), 0) + row.lag
        print(render_table(("GROUP", "TOPIC", "LAG"), [(*place, behind) for place, behind in sums.items()]))
    if not rows:
        raise typer.Exit(Exit.NOTHING)


def _fields(row: object) -> dict[str, object]:
    from dataclasses import asdict, is_dataclass

    assert is_dataclass(row)
    assert not isinstance(row, type)
    return asdict(row)


def _kept(days: object) -> str:
    if days is None:
        return "for ever"
    assert isinstance(days, float)
    return f"{days:.0f} days" if days >= 1 else f"{days * 24:.0f} h"


def _plain(value: object) -> str:
    """Bytes in a record, as hexadecimal; times, as text."""
    return value.hex() if isinstance(value, bytes) else str(value)
