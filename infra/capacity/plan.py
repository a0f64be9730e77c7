"""A plan: every role's need as a range, the limits in the order in which they break, and what it costs at given prices.

Never tells one number where three cases gave three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

from infra.capacity import figures
from infra.capacity.figures import Case
from infra.capacity.limits import LIMITS, Limit, breaks_at
from infra.capacity.load import Load, Prices
from infra.capacity.rates import HOUR_S, MB
from infra.capacity.roles import ROLES, Need, Site, partitions


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """What is likely, between the least and the most of all cases."""

    likely: float
    low: float
    high: float

    @classmethod
    def over(cls, sites: Iterable[Site], measure: Callable[[Site], float]) -> Range:
        """The range of what `measure` gives in each case."""
        values = {site.case: measure(site) for site in sites}
        return cls(values[Case.LIKELY], min(values.values()), max(values.values()))

    def __add__(self, other: Range) -> Range:
        return Range(self.likely + other.likely, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Each end times a factor that is not negative."""
        return Range(self.likely * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class RolePlan:
    """What one role needs."""

    role: str
    hosts: Range
    processes: Range
    cores: Range
    memory_gib: Range
    disk_gib: Range
    network_mbit: Range


@dataclass(frozen=True, slots=True)
class Strain:
    """A limit with the share of it that is used: over 1 it is broken."""

    name: str
    used: Range
    breaks_at: int | None
    """Agents, as is likely; None where no number of agents that can be planned for breaks it."""
    breaks_at_worst: int | None
    remedy: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One more thing to know: settings to make, rates to expect."""

    name: str
    unit: str
    value: Range


@dataclass(frozen=True, slots=True)
class Cost:
    """A month's cost, of what was priced."""

    month: Range
    month_per_agent: Range
    priced: tuple[str, ...]
    unpriced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan."""

    load: Load
    roles: tuple[RolePlan, ...]
    total: RolePlan
    facts: tuple[Fact, ...]
    limits: tuple[Strain, ...]
    """The one that breaks first stands first."""
    cost: Cost | None


def ocr_seconds(site: Site) -> float:
    """Seconds of a core that reading one agent's office hour takes, were none of it sealed end to end."""
    frames = site.at(figures.MOVING) * HOUR_S * site.load.frames_per_second
    return frames * site.at(figures.OCR_FRAME)


def mean_ocr_cores(site: Site) -> float:
    """Cores that OCR keeps busy on miners, where nobody minds that the busiest minutes are read later."""
    return site.load.agents * (1 - site.load.end_to_end_share) * ocr_seconds(site) / HOUR_S


def storm_seconds(site: Site) -> float:
    """How long the agents of one process take to come back at once, on hosts that have two cores for it."""
    processes = ROLES["app"](site).processes
    return site.load.agents / processes * site.at(figures.RETURN) / 1000


def shared_hosts(site: Site) -> float:
    """Hosts that hold every role together; at least as many as there are copies of a record."""
    needs = [need(site) for need in ROLES.values()]
    by_cores = math.ceil(sum(need.cores for need in needs) / site.at(figures.HOST_CORES))
    by_memory = math.ceil(sum(need.memory_gib for need in needs) / site.at(figures.HOST_MEMORY))
    return max(site.load.replication, by_cores, by_memory)


FACTS: tuple[tuple[str, str, Callable[[Site], float]], ...] = (
    ("partitions to set", "kafka.partitions", partitions),
    ("pushed at the peak", "MB/s", lambda site: site.rates.bytes_s / MB),
    ("envelopes at the peak", "envelopes/s", lambda site: site.rates.envelopes_s),
    ("documents at the peak", "documents/s", lambda site: site.rates.documents_s),
    ("OCR for an office hour of one agent", "core-seconds", ocr_seconds),
    ("OCR on miners, mean of an hour of work", "busy cores", mean_ocr_cores),
    ("acknowledged, 99th percentile, at 1,000 agents a process", "ms", lambda site: site.at(figures.ACK)),
    ("all agents of a process back after a storm", "s", storm_seconds),
    ("hosts, were all roles on the same ones", "hosts", shared_hosts),
    ("agents watched live at the peak", "agents", lambda site: site.load.agents * site.at(figures.WATCHED)),
)


def make_plan(load: Load, prices: Prices | None = None) -> Plan:
    """The plan for a load."""
    sites = [Site.of(load, case) for case in Case]
    roles = tuple(_role_plan(role, need, sites) for role, need in ROLES.items())
    total = _total(roles)
    strains = [_strain(limit, load, sites) for limit in LIMITS]
    return Plan(
        load,
        roles,
        total,
        tuple(Fact(name, unit, Range.over(sites, measure)) for name, unit, measure in FACTS),
        tuple(sorted(strains, key=lambda strain: strain.breaks_at or math.inf)),
        cost_of(total, load.agents, prices or Prices()),
    )


def cost_of(total: RolePlan, agents: int, prices: Prices) -> Cost | None:
    """A month's cost, or None where nothing has a price."""
    amounts = {"host": total.hosts, "core": total.cores, "gib_memory": total.memory_gib, "gib_disk": total.disk_gib}
    priced = {name: price for name in amounts if (price := getattr(prices, name)) is not None}
    if not priced:
        return None
    month = Range(0, 0, 0)
    for name, price in priced.items():
        month += amounts[name].times(price)
    return Cost(month, month.times(1 / agents), tuple(priced), tuple(name for name in amounts if name not in priced))


def _strain(limit: Limit, load: Load, sites: list[Site]) -> Strain:
    used = Range.over(sites, limit.used)
    likely, worst = (breaks_at(limit, load, case) for case in (Case.LIKELY, Case.BAD))
    return Strain(limit.name, used, likely, worst, limit.remedy)


def _role_plan(role: str, need: Callable[[Site], Need], sites: list[Site]) -> RolePlan:
    def over(name: str) -> Range:
        return Range.over(sites, lambda site: getattr(need(site), name))

    return RolePlan(role, *(over(field.name) for field in fields(Need)))


def _total(roles: tuple[RolePlan, ...]) -> RolePlan:
    sums = []
    for field in fields(Need):
        total = Range(0, 0, 0)
        for role in roles:
            total += getattr(role, field.name)
        sums.append(total)
    return RolePlan("total", *sums)
