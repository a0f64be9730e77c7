"""`sealstream sinks run NAME`: what fills one store from Kafka.

Never runs two sinks in one process: each restarts, waits and reports by itself.
"""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Fill the stores from Kafka: disk archive, PostgreSQL, Elasticsearch.")


@app.command()
def run(
    name: str = typer.Argument(help="disk, postgresql or elasticsearch"),
    json: bool | None = typer.Option(None, "--json/--plain", help="log JSON lines, or lines for people"),
) -> None:
    """Fill one store until stopped. A store that is away is waited for; nothing is lost meanwhile.

    Examples: `sealstream sinks run disk`, `sealstream sinks run elasticsearch --plain`
    """
    import uvloop

    from infra.logging import configure_logging
    from infra.settings import load_settings
    from schemas.errors import ConfigError
    from sinks.process import SINKS, run_sink

    if name not in SINKS:
        raise ConfigError(f"no sink is called {name!r}; there are {', '.join(SINKS)}")
    settings = load_settings()
    configure_logging(f"sink-{name}", json=json, node=settings.node.id)
    uvloop.run(run_sink(settings, name))


@app.command("list")
def list_sinks() -> None:
    """Name the sinks that there are."""
    from sinks.process import SINKS

    for name in SINKS:
        print(name)


def register(root: typer.Typer) -> None:
    """Add `sealstream sinks`."""
    root.add_typer(app, name="sinks")
