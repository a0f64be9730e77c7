"""The capacity model: more people never need less, units are right, ranges hold what they must, nonsense is refused."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.capacity import figures
from infra.capacity.figures import FIGURES, Case, Sure
from infra.capacity.limits import LIMITS, breaks_at
from infra.capacity.load import BOUNDS, Load, Prices, option
from infra.capacity.plan import FACTS, Range, make_plan, ocr_seconds
from infra.capacity.rates import GIB, rates_of, work_days
from infra.capacity.roles import ROLES, Need, Site, miner_cpu, partitions
from schemas.errors import ConfigError

CASES = st.sampled_from(list(Case))
BENCHES = Path(__file__).parent.parent.parent / "bench"


def numbers(name: str) -> st.SearchStrategy[float]:
    low, high = BOUNDS[name]
    return st.floats(low, high)


LOADS = st.builds(
    Load,
    agents=st.integers(1, 200_000),
    mb_per_hour=numbers("mb_per_hour"),
    hours_per_day=numbers("hours_per_day"),
    frames_per_second=numbers("frames_per_second"),
    retention_days=numbers("retention_days"),
    kafka_retention_days=numbers("kafka_retention_days"),
    replication=st.integers(1, 10),
    end_to_end_share=numbers("end_to_end_share"),
    peak_factor=numbers("peak_factor"),
)


@given(LOADS, st.integers(1, 200_000), CASES)
@settings(deadline=None)
def test_more_agents_never_need_less(load: Load, more: int, case: Case) -> None:
    """Whatever else the load is, no role's need falls when agents come."""
    small, large = Site.of(load, case), Site.of(replace(load, agents=load.agents + more), case)
    for role, need in ROLES.items():
        before, after = need(small), need(large)
        for field in fields(Need):
            assert getattr(after, field.name) >= getattr(before, field.name), (role, field.name)
    assert partitions(large) >= partitions(small)
    for limit in LIMITS:
        assert limit.used(large) >= limit.used(small), limit.name


@pytest.mark.parametrize("name", ["mb_per_hour", "frames_per_second", "peak_factor", "retention_days", "hours_per_day"])
@given(load=LOADS, times=st.floats(1, 50), case=CASES)
@settings(max_examples=30, deadline=None)
def test_more_of_each_kind_never_needs_less(name: str, load: Load, times: float, case: Case) -> None:
    """More megabytes, frames, peak, days or hours: no role needs less of anything."""
    larger = replace(load, **{name: min(BOUNDS[name][1], getattr(load, name) * times)})
    for role, need in ROLES.items():
        before, after = need(Site.of(load, case)), need(Site.of(larger, case))
        for field in fields(Need):
            assert getattr(after, field.name) >= getattr(before, field.name), (role, field.name)


@given(LOADS)
@settings(max_examples=30, deadline=None)
def test_every_range_holds_what_is_likely(load: Load) -> None:
    """The least is at most what is likely, that at most the most; the total is the sum; all of it is finite."""
    plan = make_plan(load)
    for role in (*plan.roles, plan.total):
        for field in fields(Need):
            amount: Range = getattr(role, field.name)
            assert 0 <= amount.low <= amount.likely <= amount.high < math.inf
    for field in fields(Need):
        parts = [getattr(role, field.name).likely for role in plan.roles]
        assert getattr(plan.total, field.name).likely == pytest.approx(sum(parts))
    assert len(plan.facts) == len(FACTS)


@given(LOADS.filter(lambda load: load.replication > 1))
@settings(max_examples=30, deadline=None)
def test_no_role_stands_on_one_host_where_there_are_copies(load: Load) -> None:
    """With two copies or more, any host may die; Kafka has a broker for each copy."""
    plan = make_plan(load)
    assert all(role.hosts.low >= 2 for role in plan.roles)
    assert next(role for role in plan.roles if role.role == "kafka").hosts.low >= load.replication


def test_one_of_everything_is_enough_for_one_without_copies() -> None:
    """One agent and one copy: a host for each role, or one for all of them."""
    plan = make_plan(Load(agents=1, replication=1))
    assert {role.hosts.likely for role in plan.roles} == {1}
    assert next(fact for fact in plan.facts if fact.name.startswith("hosts")).value.likely == 1


def test_units_by_hand() -> None:
    """Megabytes are 10^6 bytes, GiB 2^30; a rate is of the busiest second; days with work are those of whole weeks."""
    load = Load(agents=1000, mb_per_hour=3.6, hours_per_day=10, retention_days=70, peak_factor=2, replication=1)
    site = Site.of(load, Case.LIKELY)
    assert site.rates.bytes_s == pytest.approx(2_000_000)
    assert site.rates.kept_hours == pytest.approx(1000 * 10 * 50)
    disk = ROLES["archive"](site).disk_gib
    assert disk == pytest.approx(500_000 * 3.6e6 / GIB / 0.7)
    assert ROLES["archive"](site).network_mbit == pytest.approx(16)
    assert ROLES["app"](site).network_mbit > 32  # in and out, and live pictures


def test_an_office_hour_of_ocr_is_what_the_bench_tells() -> None:
    """540 changing frames an hour, each 2.25 s of the command divided by 22.8, which one idle trace of eight flatters.

    So the seven others cost 8/7 of it.
    """
    load = Load(agents=1000, peak_factor=1, end_to_end_share=0)
    site = Site.of(load, Case.LIKELY)
    assert ocr_seconds(site) == pytest.approx(540 * 2.25 / 22.8 * 8 / 7, rel=0.05)
    assert miner_cpu(site)[0] == pytest.approx(1000 * ocr_seconds(site) / 3600)


def test_what_is_sealed_end_to_end_costs_miners_no_ocr() -> None:
    """With all screens end to end OCR needs nothing; the stores need the same."""
    none, whole = (Site.of(Load(agents=5000, end_to_end_share=share), Case.LIKELY) for share in (0, 1))
    assert miner_cpu(whole)[0] == 0
    assert ROLES["miner"](whole).cores < ROLES["miner"](none).cores
    for role in ("kafka", "archive", "postgresql", "elasticsearch"):
        assert ROLES[role](whole) == ROLES[role](none)


def test_without_frames_nothing_is_read_and_other_streams_remain() -> None:
    """No picture a second: no OCR, but envelopes and documents of what is typed."""
    rates = rates_of(Load(agents=10, frames_per_second=0), Case.LIKELY)
    assert rates.frames_s == 0
    assert rates.envelopes_hour == figures.OTHER_ENVELOPES.likely
    assert rates.documents_hour == figures.OTHER_DOCUMENTS.likely


@pytest.mark.parametrize(("days", "most"), [(0.5, 0.5), (3, 3), (5, 5), (6, 5), (7, 5), (8, 6), (14, 10), (90, 65)])
def test_few_days_in_a_row_may_all_be_days_with_work(days: float, most: float) -> None:
    """A week has five of them, but three days may be three."""
    assert work_days(days, 5 / 7) == pytest.approx(most)


@given(st.integers(0, len(LIMITS) - 1), LOADS, CASES)
@settings(max_examples=60, deadline=None)
def test_a_limit_breaks_where_it_says(number: int, load: Load, case: Case) -> None:
    """One agent fewer is carried, that many are not."""
    limit = LIMITS[number]
    agents = breaks_at(limit, load, case)
    if agents is None:
        assert limit.used(Site.of(replace(load, agents=int(BOUNDS["agents"][1])), case)) <= 1
        return
    assert limit.used(Site.of(replace(load, agents=agents), case)) > 1
    assert agents == 1 or limit.used(Site.of(replace(load, agents=agents - 1), case)) <= 1


def test_what_breaks_first_stands_first() -> None:
    """Limits are in the order of the agents at which they break."""
    order = [strain.breaks_at or math.inf for strain in make_plan(Load(agents=1000)).limits]
    assert order == sorted(order)


@pytest.mark.parametrize("name", sorted(BOUNDS))
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 1e12])
def test_nonsense_is_refused_by_name(name: str, value: float) -> None:
    """Negative, not a number, endless: the error names the option."""
    with pytest.raises(ConfigError, match=option(name)):
        Load(**({"agents": 10} | {name: value}))


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One error for three mistakes, with bounds that a person can read."""
    with pytest.raises(ConfigError) as caught:
        Load(agents=0, peak_factor=0.5, end_to_end_share=20)
    assert str(caught.value) == (
        "--agents must be between 1 and 10,000,000, not 0; --end-to-end-share must be between 0 and 1, not 20; "
        "--peak-factor must be between 1 and 100, not 0.5"
    )
    with pytest.raises(ConfigError, match="--agents must be a whole number"):
        Load(agents=1.5)


def test_no_price_is_made_up() -> None:
    """Without prices there is no cost; with some, it says which are missing."""
    load = Load(agents=1000)
    assert make_plan(load).cost is None
    plan = make_plan(load, Prices(core=10, gib_disk=0.5))
    assert plan.cost is not None
    assert plan.cost.unpriced == ("host", "gib_memory")
    for end in ("likely", "low", "high"):
        cores, disk = getattr(plan.total.cores, end), getattr(plan.total.disk_gib, end)
        assert getattr(plan.cost.month, end) == pytest.approx(10 * cores + 0.5 * disk)
        assert getattr(plan.cost.month_per_agent, end) == pytest.approx(getattr(plan.cost.month, end) / 1000)


@pytest.mark.parametrize("price", [-1, math.nan, math.inf])
def test_a_price_is_an_amount(price: float) -> None:
    """Negative, not a number, endless: refused, by the option's name."""
    with pytest.raises(ConfigError, match="--price-gib-disk"):
        Prices(gib_disk=price)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure.name}, {figure.unit}")
def test_every_figure_says_what_it_is_and_where_it_is_from(figure: figures.Figure) -> None:
    """Positive, between its ends, with a unit; measured ones name a bench that there is, assumed ones have a range."""
    ends = sorted((figure.good, figure.bad))
    assert 0 < ends[0] <= figure.likely <= ends[1] < math.inf
    assert figure.unit
    assert figure.where
    assert figure.unit != "share" or ends[1] <= 1
    assert (figure.good == figure.bad) == (figure.sure is Sure.CHOSEN)
    named = re.findall(r"bench (\w+)", figure.where)
    assert all((BENCHES / f"{name}.py").exists() for name in named)
    assert named or figure.sure is not Sure.MEASURED


def test_figures_are_known_by_name_and_unit() -> None:
    """No two are called the same."""
    keys = [(figure.name, figure.unit) for figure in FIGURES]
    assert len(set(keys)) == len(keys)
