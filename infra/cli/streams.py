"""`sealstream streams`: start the workers that mine, with one command."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli import unlocked_mining


def register(app: typer.Typer) -> None:
    """Add `streams` with its commands."""
    streams = typer.Typer(help="The workers that mine: OCR, terminal text, mail, activity, lost nodes.")
    streams.callback(invoke_without_command=True)(start_default)
    streams.command("start")(start)
    streams.command("run")(run)
    streams.command("unlock", help=unlocked_mining.HELP)(unlocked_mining.unlock)
    app.add_typer(streams, name="streams")


def start_default(context: typer.Context) -> None:
    """Start as many workers as the settings say, and keep them running until Ctrl-C.

    Example: `sealstream streams`
    """
    if context.invoked_subcommand is None:
        start(0)


def start(
    workers: Annotated[int, typer.Option("--workers", "-n", min=0, help="How many; 0: as the settings say.")] = 0,
) -> None:
    """Start workers beside those that run, and keep them running until Ctrl-C.

    A worker that ends is started again, with back-off; each logs to `log/streams-N.log` in the data directory.
    They share the topics' partitions with all other workers, on this node or others.

    Example: `sealstream streams start --workers 4`
    """
    import asyncio
    import signal

    from infra.logging import configure_logging
    from infra.settings import load_settings
    from streams.supervisor import WorkerSupervisor, free_numbers

    settings = load_settings()
    configure_logging("streams")
    numbers = free_numbers(settings.data, workers or settings.streams.workers)

    async def supervise() -> None:
        stop = asyncio.Event()
        for how in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(how, stop.set)
        await WorkerSupervisor(settings.data, numbers).run(stop)

    asyncio.run(supervise())


def run(
    worker: Annotated[int, typer.Option("--worker", min=1, help="Number of this worker on this node.")] = 1,
) -> None:
    """Run one worker in the foreground, until Ctrl-C or SIGTERM.

    The same worker by faust's own command: `SEALSTREAM_WORKER=1 faust -A streams.app -L uvloop worker -l info`

    Example: `sealstream streams run --worker 1`
    """
    from infra.settings import load_settings
    from streams.worker import run_worker

    run_worker(load_settings(), worker)
