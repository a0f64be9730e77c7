"""A plan as text for a person and as JSON for a script.

Never shows more digits than are known: two.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any

from infra.capacity.figures import FIGURES, Figure, Sure
from infra.capacity.load import BOUNDS, Load
from infra.capacity.plan import Cost, Plan, Range, RolePlan, Strain
from infra.cli.table import render_table

DIGITS = 2

COLUMNS = ("HOSTS", "PROCESSES", "CORES", "MEMORY GiB", "DISK GiB", "NETWORK Mbit/s")


def round_known(value: float) -> float:
    """The value with two significant digits; whole ones without a point."""
    if value == 0:
        return 0
    rounded = round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return int(rounded) if rounded == int(rounded) else rounded


def show_number(value: float) -> str:
    """A number for a person: `0.25`, `41`, `17,000`."""
    rounded = round_known(value)
    if 0 < abs(rounded) < 1:
        return f"{rounded:.{DIGITS - 1 - math.floor(math.log10(abs(rounded)))}f}".rstrip("0")
    return f"{rounded:,}"


def show_range(range_: Range) -> str:
    """What is likely, with the ends in brackets where they differ."""
    likely, low, high = (show_number(value) for value in (range_.likely, range_.low, range_.high))
    if low == high:
        return "-" if likely == "0" else likely
    return f"{likely} ({low}-{high})"


def render_plan(plan: Plan) -> str:
    """The whole plan as text."""
    parts = [
        render_load(plan.load),
        render_table(("ROLE", *COLUMNS), [_cells(role) for role in (*plan.roles, plan.total)]),
        render_table(("FACT", "VALUE"), [(fact.name, f"{show_range(fact.value)} {fact.unit}") for fact in plan.facts]),
        render_limits(plan.limits),
    ]
    if plan.cost:
        parts.append(render_cost(plan.cost))
    parts.append(
        "In brackets: every figure good, or every one bad, at once. Which were measured and which assumed:\n"
        "`sealstream plan --figures`. Hosts are those of each role if it stands alone."
    )
    return "\n\n".join(parts)


def render_load(load: Load) -> str:
    """The question, in words."""
    work = f"{load.agents:,} agents, {load.mb_per_hour:g} MB an hour each, {load.hours_per_day:g} hours a day"
    screens = f"screens looked at {load.frames_per_second:g} times a second, {load.end_to_end_share:.0%} end to end"
    kept = f"Kept for {load.retention_days:g} days, in Kafka for {load.kafka_retention_days:g}"
    copies = f"in {load.replication} copies there"
    return f"{work}; {screens}.\n{kept}, {copies}. Peak: {load.peak_factor:g} times the mean."


def render_limits(limits: tuple[Strain, ...]) -> str:
    """What breaks first, and at how many agents."""
    rows = [
        (
            strain.name,
            show_range(strain.used.times(100)),
            _agents(strain.breaks_at),
            _agents(strain.breaks_at_worst),
            strain.remedy,
        )
        for strain in limits
    ]
    return render_table(("WHAT BREAKS FIRST", "USED %", "AT AGENTS", "AT WORST", "THEN"), rows)


def render_cost(cost: Cost) -> str:
    """What a month costs, and what is not in it."""
    left_out = ", ".join(_words(name) for name in cost.unpriced)
    told = f"Cost a month: {show_range(cost.month)}; for each agent {show_range(cost.month_per_agent)}."
    return f"{told}\nNot in it, for want of a price: {left_out}." if left_out else told


def render_figures() -> str:
    """The figures of the model, as the docs have them."""
    rows = [
        f"| {figure.name} | {figure.unit} | {_ends(figure)} | {figure.sure} | {figure.where} |" for figure in FIGURES
    ]
    return "\n".join(["| figure | unit | likely (good, bad) | sure | where from |", "|---|---|---|---|---|", *rows])


def figures_json() -> str:
    """The figures for a script."""
    return json.dumps([asdict(figure) for figure in FIGURES], indent=2, ensure_ascii=False)


def plan_json(plan: Plan) -> str:
    """The plan for a script, as few digits as for a person."""
    told = {
        "load": asdict(plan.load),
        "roles": {role.role: _numbers(role) for role in plan.roles},
        "total": _numbers(plan.total),
        "facts": [{"name": fact.name, "unit": fact.unit} | _range(fact.value) for fact in plan.facts],
        "limits": [
            {
                "name": strain.name,
                "used": _range(strain.used),
                "breaks_at_agents": _known(strain.breaks_at),
                "breaks_at_agents_worst": _known(strain.breaks_at_worst),
                "remedy": strain.remedy,
            }
            for strain in plan.limits
        ],
        "cost": plan.cost
        and {
            "month": _range(plan.cost.month),
            "month_per_agent": _range(plan.cost.month_per_agent),
            "priced": list(plan.cost.priced),
            "unpriced": list(plan.cost.unpriced),
        },
        "measured": [figure.name for figure in FIGURES if figure.sure is Sure.MEASURED],
    }
    return json.dumps(told, indent=2)


def _cells(role: RolePlan) -> list[str]:
    return [role.role, *(show_range(amount) for amount in _amounts(role).values())]


def _amounts(role: RolePlan) -> dict[str, Range]:
    return {field.name: getattr(role, field.name) for field in fields(role) if field.name != "role"}


def _numbers(role: RolePlan) -> dict[str, Any]:
    return {name: _range(amount) for name, amount in _amounts(role).items()}


def _range(range_: Range) -> dict[str, float]:
    return {name: round_known(value) for name, value in asdict(range_).items()}


def _known(agents: int | None) -> float | None:
    return None if agents is None else round_known(agents)


def _agents(agents: int | None) -> str:
    return f"over {BOUNDS['agents'][1]:,.0f}" if agents is None else show_number(agents)


def _ends(figure: Figure) -> str:
    if figure.sure is Sure.CHOSEN:
        return f"{figure.likely:,g}"
    return show_range(Range(figure.likely, figure.good, figure.bad))


def _words(name: str) -> str:
    return {"host": "hosts", "core": "cores", "gib_memory": "memory", "gib_disk": "disk"}[name]
