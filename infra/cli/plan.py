"""`sealstream plan`: how many hosts, cores and bytes so many agents need.

Never reads the installation: the same question has the same answer anywhere.
"""

from __future__ import annotations

from typing import Annotated

import typer

from infra.capacity.load import Load, Prices
from schemas.errors import ConfigError

Price = Annotated[float | None, typer.Option(help="Of one, a month, in any currency. Without prices no cost is told.")]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("plan")(plan)


def plan(
    *,
    agents: Annotated[int | None, typer.Option(help="How many people are recorded.")] = None,
    mb_per_hour: Annotated[float, typer.Option(help="Megabytes that one of them makes in an hour of work.")] = 10.0,
    hours_per_day: Annotated[float, typer.Option(help="Hours of work on a day of work.")] = 8.0,
    frames_per_second: Annotated[float, typer.Option(help="How often in a second a screen is looked at.")] = 1.0,
    retention_days: Annotated[float, typer.Option(help="Days for which archive and databases keep.")] = 90.0,
    kafka_retention_days: Annotated[float, typer.Option(help="Days for which Kafka keeps.")] = 7.0,
    replication: Annotated[int, typer.Option(help="Copies of a record in Kafka; from 2 on, two of each store.")] = 3,
    end_to_end_share: Annotated[
        float, typer.Option(help="Share of the screens sealed end to end; miners cannot read them.")
    ] = 0.2,
    peak_factor: Annotated[float, typer.Option(help="The busiest second beside the mean; 1: miners may lag.")] = 2.0,
    price_host: Price = None,
    price_core: Price = None,
    price_gib_memory: Price = None,
    price_gib_disk: Price = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Instead: the figures that a plan is made of.")] = False,
) -> None:
    """Tell what a number of agents needs: hosts, cores, memory, disk and network of each role, and what breaks first.

    Every number is what is likely, with the least and the most in brackets: all figures good, or all bad, at once.
    docs/scale.md tells how it is worked out and what was measured.

    Example: `sealstream plan --agents 1000 --price-core 20 --price-gib-disk 0.05`
    """
    from infra.capacity.plan import make_plan
    from infra.cli.plan_view import figures_json, plan_json, render_figures, render_plan

    if figures:
        print(figures_json() if as_json else render_figures())
        return
    if agents is None:
        raise ConfigError("say for how many people to plan: sealstream plan --agents 1000")
    load = Load(
        agents=agents,
        mb_per_hour=mb_per_hour,
        hours_per_day=hours_per_day,
        frames_per_second=frames_per_second,
        retention_days=retention_days,
        kafka_retention_days=kafka_retention_days,
        replication=replication,
        end_to_end_share=end_to_end_share,
        peak_factor=peak_factor,
    )
    prices = Prices(host=price_host, core=price_core, gib_memory=price_gib_memory, gib_disk=price_gib_disk)
    made = make_plan(load, prices)
    print(plan_json(made) if as_json else render_plan(made))
