"""`sealstream agent trace`: play traces as simulated agents, import recordings of other tools, look into one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit

if TYPE_CHECKING:
    from agent.fleet import Fleet, Progress

REPORT_S = 2.0

TraceFile = Annotated[Path, typer.Argument(help="Trace file.", exists=True, dir_okay=False)]


def add_trace(agent: typer.Typer) -> None:
    """Add `trace` to the commands of the agent."""
    trace = typer.Typer(no_args_is_help=True, help="Traces: recordings in files, played by simulated agents.")
    trace.command("play")(play)
    trace.command("import")(import_asciicast)
    trace.command("show")(show)
    agent.add_typer(trace, name="trace")


def play(
    file: TraceFile,
    *,
    agents: Annotated[int, typer.Option(min=1, max=20_000, help="How many simulated agents.")] = 1,
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than it was recorded.")] = 1.0,
    loops: Annotated[int, typer.Option(min=1, help="How often each agent plays it.")] = 1,
    spread: Annotated[float, typer.Option(min=0, help="Seconds over which the agents start.")] = 0.0,
    token: Annotated[str, typer.Option(help="Enrols the agents that are not enrolled yet; `-`: standard input.")] = "",
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Identities of the simulated agents.", show_default="…/fleet")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait at the end for what is not delivered.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Play a trace as simulated agents, through the real recorder, sealing and uplink. Ends with 1 if not all arrived.

    Example: `sealstream agent token --uses 50 | sealstream agent trace play day.trace --agents 50 --speed 10 --token -`
    """
    import uvloop

    from infra.logging import configure_logging

    configure_logging("fleet", level=30)
    plan = Plan(file, agents, speed, loops, spread, wait)
    text = sys.stdin.readline() if token == "-" else token  # noqa: S105  # a dash is no secret
    progress = uvloop.run(_play(plan, text, directory))
    print(json.dumps(progress.to_json()) if as_json else _describe(progress))
    if progress.waiting or progress.refused:
        raise typer.Exit(Exit.NOTHING)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played, by how many, how fast."""

    file: Path
    agents: int
    speed: float
    loops: int
    spread_s: float
    wait_s: float


async def _play(plan: Plan, token: str, directory: Path | None) -> Progress:
    from agent.clock import SystemClock
    from agent.fleet import Fleet, enrol_fleet, make_member
    from agent.settings import agent_directory, load_settings
    from agent.sources.trace import Trace
    from agent.sources.tracing import simulate_agents
    from schemas.enrolment import EnrolmentToken

    trace = Trace.load(plan.file)
    place = directory or agent_directory() / "fleet"
    clock, settings = SystemClock(), load_settings(place)
    members = await enrol_fleet(place, plan.agents, EnrolmentToken.parse(token) if token else None, clock)
    sources = simulate_agents(trace, plan.agents, speed=plan.speed, loops=plan.loops, spread_s=plan.spread_s)
    made = [
        make_member(one, settings, list(told), clock, plan.wait_s) for one, told in zip(members, sources, strict=True)
    ]
    fleet = Fleet(made, [list(told) for told in sources])
    report = asyncio.create_task(_report(fleet))
    try:
        await fleet.run()
    finally:
        report.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await report
    return fleet.progress()


async def _report(fleet: Fleet) -> None:
    """Say on a terminal how far it is."""
    while sys.stderr.isatty():
        await asyncio.sleep(REPORT_S)
        print(_describe(fleet.progress()), file=sys.stderr)


def _describe(progress: Progress) -> str:
    rate = progress.acked / progress.elapsed_s if progress.elapsed_s else 0.0
    return (
        f"{progress.elapsed_s:8.1f} s  {progress.connected}/{progress.agents} connected  {progress.acked} envelopes "
        f"acknowledged ({rate:.0f}/s)  {progress.waiting} waiting  {progress.refused} refused  "
        f"{progress.behind_s:.1f} s behind"
    )


def import_asciicast(
    recording: Annotated[Path, typer.Argument(help="asciicast file, version 1 or 2.", exists=True, dir_okay=False)],
    file: Annotated[Path, typer.Argument(help="Trace file to write.")],
) -> None:
    """Make a trace of a terminal recording in asciicast format, as `asciinema rec` writes it.

    Example: `sealstream agent trace import session.cast session.trace`
    """
    from agent.sources.asciicast import read_asciicast
    from agent.sources.trace import write_trace
    from schemas.kinds import StreamKind

    with recording.open(encoding="utf-8") as lines:
        events = [(StreamKind.KEYSTROKES, event) for event in read_asciicast(lines)]
    started_us = events[0][1]["time_us"] if events else 0
    write_trace(file, events, started_us=started_us, title=recording.name)
    print(f"{len(events)} events, in {file}")


def show(
    file: TraceFile,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say what a trace holds: its streams, how many events of each, how long it is.

    Example: `sealstream agent trace show day.trace`
    """
    from collections import Counter

    from agent.sources.trace import Trace

    trace = Trace.load(file)
    events = Counter(kind.label for kind, _ in trace.events())
    seconds = trace.duration_us / 1e6
    if as_json:
        about = {"about": trace.about, "seconds": seconds, "events": dict(events), "complete": trace.complete}
        print(json.dumps(about))
        return
    print(f"{trace.about.get('title') or file.name}: {seconds:.1f} s" + ("" if trace.complete else ", cut off"))
    for label, count in events.items():
        print(f"  {label:<11}{count} events")
