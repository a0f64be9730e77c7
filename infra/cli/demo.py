"""`sealstream demo`: the whole product on this machine, on real input."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command("demo")(demo)


def demo(
    ports: Annotated[str, typer.Option(help="`usual` ports, or `auto`: free ones where those are taken.")] = "auto",
    stop: Annotated[bool, typer.Option("--stop", help="Stop the stack at the end.")] = False,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="The other demo: what no server can read, an officer sees.")
    ] = False,
    fleet: Annotated[
        bool, typer.Option("--fleet", help="The third demo: nodes in network namespaces, two of which are killed.")
    ] = False,
) -> None:
    """Start the stack, enrol an agent, record a real desktop, shell and mailbox, and find what was seen.

    With `--end-to-end`: seal it to an officer's key, search and see it with the officer's passphrase, and look for
    it in every file and memory of the servers. With `--fleet` (as root): a master, two application servers, two miners
    and three database nodes on hosts of their own; one application server and one miner are killed; all is counted.

    Examples: sealstream demo --data /tmp/sealstream-demo, sealstream demo --end-to-end --stop
    """
    import asyncio

    from infra.datadir import DataDir
    from infra.demo.end_to_end import EndToEndDemo
    from infra.demo.run import run_demo
    from infra.demo.shell import Shell

    data = DataDir.find().root
    if fleet:
        from infra.demo.fleet import FleetDemo

        asyncio.run(FleetDemo(data / "fleet").run())
        return
    try:
        asyncio.run(EndToEndDemo(data).run(ports=ports) if end_to_end else run_demo(data, ports=ports))
    finally:
        if stop:
            asyncio.run(Shell(data).stream("down"))
