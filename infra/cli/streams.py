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
    streams.command("stop")(stop)
    streams.command("run")(run)
    streams.command("unlock", help=unlocked_mining.HELP)(unlocked_mining.unlock)
    app.add_typer(streams, name="streams")


def start_default(context: typer.Context) -> None:
    """Start as many workers as the settings say, and keep them running until Ctrl-C.

    Example: `sealstream streams`
    """
    if context.invoked_subcommand is None:
        start(workers=0)


Components = Annotated[
    list[str] | None, typer.Argument(help="Of the stack, such as `streams-1`, `sinks-disk`.", metavar="[COMPONENT]...")
]
Node = Annotated[str, typer.Option(help="The node whose components are meant; usually this one.")]
Purpose = Annotated[str, typer.Option(help="Why; goes into the audit.")]


def stop(components: Components = None, node: Node = "", purpose: Purpose = "") -> None:
    """Stop workers or sinks of the running stack in order, and keep them stopped until `streams start COMPONENT`.

    What they have in hand is finished and committed; what comes meanwhile waits in Kafka. Without a name all workers
    of the node are stopped. They stay stopped when the stack is started anew.

    Examples: `sealstream streams stop`, `sealstream streams stop sinks-elasticsearch --purpose 'new disk'`
    """
    from infra.cli.components import wish_components

    wish_components(components or (), "stopped", node, purpose)


def start(
    components: Components = None,
    workers: Annotated[int, typer.Option("--workers", "-n", min=0, help="How many; 0: as the settings say.")] = 0,
    node: Node = "",
    purpose: Purpose = "",
) -> None:
    """Start workers beside those that run, and keep them running until Ctrl-C; or let stopped components run again.

    A worker that ends is started again, with back-off; each logs to `log/streams-N.log` in the data directory.
    They share the topics' partitions with all other workers, on this node or others.

    With names it takes `streams stop` back for these components of the stack, and returns.

    Examples: `sealstream streams start --workers 4`, `sealstream streams start sinks-elasticsearch`
    """
    if components:
        from infra.cli.components import wish_components

        wish_components(components, "running", node, purpose)
        return
    import asyncio
    import signal

    from infra.logging import configure_logging
    from infra.settings import load_settings
    from streams.supervisor import WorkerSupervisor, free_numbers

    settings = load_settings()
    configure_logging("streams", node=settings.node.id)
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
