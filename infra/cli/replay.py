"""`sealstream replay`: process a range of a topic or of the archive again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.cli.replay_view import JsonLines, RunBar
    from infra.settings import Settings
    from streams.replay.ledger import Ledger, Run
    from streams.replay.request import Request

_VERBS = ("list", "resume", "cancel")


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command("replay", help=_HELP)(replay)


_HELP = """Process records again: the results replace those that are there, none is made twice.

TOPIC is an envelope topic, such as `envelopes.screen`; or a verb: `list`, `resume RUN`, `cancel RUN`.

Times are ISO 8601 (`2026-11-23T09:00`, local time unless it says otherwise) or ages (`90m`, `2h`, `7d`). In Kafka they
mean when a record was received, in the archive when it was captured. Live traffic has the way: a replay stands back
while the live workers fall behind. Ctrl-C stops a run; `resume` goes on with it.

Examples:

`sealstream replay envelopes.screen --since 2h`

`sealstream replay envelopes.keystrokes --since 2026-11-01 --until 2026-11-08 --agent 6f1c1c2e-…`

`sealstream replay envelopes.screen --offset 3:1200-1500 --dry-run`

`sealstream replay envelopes.screen --from archive --since 30d`

`sealstream replay envelopes.screen --since 2h --json-progress | jq .done`
"""


def replay(  # noqa: PLR0917 - typer makes options of them
    topic: Annotated[str, typer.Argument(help="Envelope topic, or list, resume, cancel.", metavar="TOPIC|VERB")],
    run_id: Annotated[str, typer.Argument(help="The run to resume or cancel.", metavar="[RUN]")] = "",
    since: Annotated[str, typer.Option(help="From this time on.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    agent: Annotated[list[str] | None, typer.Option(help="Only this agent; may be given again.")] = None,
    offset: Annotated[
        list[str] | None, typer.Option(help="PARTITION:FIRST or PARTITION:FIRST-END instead of times.")
    ] = None,
    processor: Annotated[str, typer.Option(help="mine or activity.")] = "mine",
    source: Annotated[str, typer.Option("--from", help="kafka or archive.")] = "kafka",
    throttle: Annotated[float, typer.Option(min=0, help="Records a second at most; 0: no limit.")] = 0.0,
    ocr_workers: Annotated[int, typer.Option(min=0, help="OCR processes; 0: as the settings say.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    json_progress: Annotated[bool, typer.Option("--json-progress", help="A JSON line about every second.")] = False,
    name: Annotated[str, typer.Option("--as", help="The run's own name, as `list` shows names.", hidden=True)] = "",
) -> None:
    """Run, list, resume or cancel replays."""
    import uvloop

    from infra.cli.replay_view import JsonLines, RunBar, print_runs, report
    from infra.cli.times import parse_time_ms
    from infra.logging import configure_logging
    from infra.settings import load_settings
    from schemas.errors import ConfigError
    from streams.replay.ledger import Ledger
    from streams.replay.request import Request

    settings = load_settings()
    configure_logging("replay", level=30)
    ledger = Ledger(settings.data.store("replay"))
    if topic == "list":
        print_runs(ledger.list(), as_json=as_json)
        return
    if topic in _VERBS and not run_id:
        raise ConfigError(f"replay {topic} wants a run: `sealstream replay list` shows them")
    if topic == "cancel":
        report(ledger.cancel(run_id), as_json=as_json)
        return
    if topic == "resume":
        run = ledger.resume(run_id)
    else:
        if source not in {"kafka", "archive"}:
            raise ConfigError("--from is kafka or archive")
        request = Request(
            topic=topic,
            processor=processor,
            since_ms=parse_time_ms(since) if since else 0,
            until_ms=parse_time_ms(until) if until else None,
            agents=frozenset(agent or ()),
            offsets=dict(map(parse_offset, offset or ())),
            from_archive=source == "archive",
        )
        request.check()
        if dry_run:
            uvloop.run(_estimate(settings, request, as_json=as_json))
            return
        run = ledger.begin(request, name)
    bar: RunBar | JsonLines = JsonLines(run) if json_progress else RunBar(run, silent=as_json)
    run = uvloop.run(_conduct(settings, ledger, run, bar, throttle=throttle, ocr_workers=ocr_workers))
    report(run, as_json=as_json or json_progress)
    if run.state != "done":
        raise typer.Exit(Exit.NOTHING)


def parse_offset(text: str) -> tuple[int, tuple[int, int]]:
    """``3:1200-1500`` or ``3:1200``; raises `ConfigError`."""
    from schemas.errors import ConfigError

    number, _, span = text.partition(":")
    first, dash, end = span.partition("-")
    try:
        return int(number), (int(first), int(end) if dash else -1)
    except ValueError:
        raise ConfigError(f"--offset {text!r} is not PARTITION:FIRST or PARTITION:FIRST-END") from None


def archive_reader(settings: Settings, request: Request) -> Callable[[int], Iterator[Any]] | None:
    """Reads the request's envelopes from the archive, if that is where they are to come from."""
    if not request.from_archive:
        return None
    from schemas.identity import agent_bytes
    from schemas.kinds import StreamKind
    from sinks.archive.reading import read_envelopes

    kind = StreamKind.from_label(request.topic.removeprefix("envelopes."))
    agents = [agent_bytes(agent) for agent in request.agents] or None
    return lambda since_ms: read_envelopes(
        settings.archive.dir, kinds=[kind], agents=agents, since_ms=since_ms, until_ms=request.until_ms
    )


async def _estimate(settings: Settings, request: Request, *, as_json: bool) -> None:
    from infra.cli.replay_view import print_estimate
    from streams.replay.session import Session

    async with Session(settings, request, archive_reader(settings, request)) as session:
        estimate = await session.estimate()
    print_estimate(estimate, as_json=as_json)
    if not estimate.records:
        raise typer.Exit(Exit.NOTHING)


async def _conduct(
    settings: Settings, ledger: Ledger, run: Run, shown: RunBar | JsonLines, *, throttle: float, ocr_workers: int
) -> Run:
    import asyncio
    import signal

    from streams.replay.ledger import STOPPED
    from streams.replay.session import Session

    task = asyncio.current_task()
    assert task is not None
    for how in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(how, task.cancel)
    with shown as bar:
        try:
            async with Session(settings, run.request, archive_reader(settings, run.request)) as session:
                return await session.run(run, ledger, bar.show, records_per_s=throttle, ocr_workers=ocr_workers)
        except asyncio.CancelledError:
            run.state = STOPPED
        except BaseException:
            run.state = STOPPED
            ledger.save(run)
            raise
    ledger.save(run)
    return run
