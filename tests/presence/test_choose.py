"""The choice of a server: even, steady, and never a dead gateway beside a live one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.presence.choose import CPU_WEIGHT, OVERLOAD, SLACK, Load, choose, is_overloaded, surplus
from gateway.presence.expected import EXPECTED_S, Expected
from gateway.presence.store import GatewayReport


def load(name: str, agents: int = 0, capacity: int = 12_000, **more: object) -> Load:
    return Load(name, f"{name}:10000", agents, capacity, **more)  # type: ignore[arg-type]


def report(name: str, **more: object) -> GatewayReport:
    return GatewayReport(name, f"{name}:10000", f"{name}:10001", **{"capacity": 12_000, **more})  # type: ignore[arg-type]


LOADS = st.lists(
    st.builds(
        Load,
        name=st.sampled_from([f"app-{n}" for n in range(8)]),
        address=st.just("a:10000"),
        agents=st.integers(0, 13_000),
        capacity=st.integers(1, 12_000),
        expected=st.integers(0, 2_000),
        cpu=st.floats(0, 2),
        accepts=st.booleans(),
        heard=st.booleans(),
    ),
    unique_by=lambda one: one.name,
    max_size=8,
)
NAMES = st.sampled_from(["", *(f"app-{n}" for n in range(8))])


@given(LOADS, NAMES, st.text(max_size=40))
def test_only_gateways_that_take_agents_are_named(gateways: list[Load], at: str, agent: str) -> None:
    """Never one that refuses, a full one where the agent is not, or a silent one beside one that speaks; none twice."""
    chosen = choose(agent, gateways, at)
    assert all(one.accepts and (one.name == at or not one.full) for one in chosen)
    assert len({one.heard for one in chosen}) <= 1
    assert len(chosen) == len({one.name for one in chosen})
    live = [one for one in gateways if one.accepts and one.heard and not one.full]
    if live:
        assert all(one.heard for one in chosen)
    if any(one.accepts and not one.full for one in gateways):
        assert chosen


@given(LOADS, st.integers(0, 7), st.text(max_size=40))
def test_an_agent_stays_where_it_is_well(gateways: list[Load], number: int, agent: str) -> None:
    """Unless its gateway refuses, is silent beside others, or has far more than its share."""
    at = f"app-{number}"
    here = next((one for one in gateways if one.name == at), None)
    if here is None or not here.accepts or (not here.heard and any(one.heard for one in gateways)):
        return
    open_to_it = [
        one for one in gateways if one.accepts and (one.name == at or not one.full) and one.heard == here.heard
    ]
    if not is_overloaded(here, open_to_it):
        assert choose(agent, gateways, at)[0] is here


@given(st.lists(st.integers(0, 100), min_size=1, max_size=6), st.integers(50, 400))
def test_a_storm_spreads_evenly_though_reports_are_old(before: list[int], storm: int) -> None:
    """All come at once, and no report is newer than the storm: in the end none has more than one above another.

    But for those that had more to begin with.
    """
    expected = Expected()
    reports = [report(f"app-{n}", agents=agents) for n, agents in enumerate(before)]
    for number in range(storm):
        first, *_ = choose(f"agent-{number}", expected.loads(reports, 0.0))
        expected.send(first.name, 0.0)
    totals = [one.total for one in expected.loads(reports, 0.0)]
    assert sum(totals) == sum(before) + storm
    level = min(totals)
    assert all(total <= level + 1 or total == start for total, start in zip(totals, before, strict=True))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_a_busy_processor_gets_fewer_agents_but_its_part(busy: list[float]) -> None:
    """However busy, a gateway has at least what `CPU_WEIGHT` leaves it of an idle one's agents."""
    expected = Expected()
    reports = [report(f"app-{n}", cpu=cpu) for n, cpu in enumerate(busy)]
    for number in range(200):
        expected.send(choose(f"agent-{number}", expected.loads(reports, 0.0))[0].name, 0.0)
    totals = [one.total for one in expected.loads(reports, 0.0)]
    assert min(totals) >= int(max(totals) / (1 + CPU_WEIGHT)) - 2


def test_capacity_counts() -> None:
    """A server of twice the size has twice the agents."""
    expected = Expected()
    reports = [report("small", capacity=1000), report("large", capacity=2000)]
    for number in range(900):
        expected.send(choose(f"agent-{number}", expected.loads(reports, 0.0))[0].name, 0.0)
    small, large = (one.total for one in expected.loads(reports, 0.0))
    assert abs(large - 2 * small) <= 2


def test_ties_are_broken_by_the_agent() -> None:
    """Alike gateways are in another order for another agent, and in the same for the same."""
    gateways = [load(f"app-{n}") for n in range(4)]
    firsts = Counter(choose(f"agent-{n}", gateways)[0].name for n in range(400))
    assert min(firsts.values()) > 60
    assert [one.name for one in choose("x", gateways)] == [one.name for one in choose("x", gateways[::-1])]


def test_an_overloaded_gateway_keeps_no_one_who_comes_back() -> None:
    """Far above its share, those who ask go elsewhere; just above, they stay."""
    much, little = load("app-1", 1000), load("app-2", 100)
    assert choose("x", [much, little], "app-1")[0] is little
    near = replace(much, agents=130), replace(little, agents=100)
    assert choose("x", near, "app-1")[0] is near[0]


def test_a_gateway_alone_takes_all() -> None:
    """However many it has already, until it is full."""
    assert choose("x", [load("app-1", 11_999)])
    assert not choose("x", [load("app-1", 12_000)])
    assert choose("x", [load("app-1", 12_000)], "app-1")


def test_those_who_came_are_not_counted_twice() -> None:
    """Expected are those sent since the report; who was welcomed, or never came, is one no longer."""
    expected = Expected()
    first = report("app-1", greeted=100, incarnation="a")
    (loaded,) = expected.loads([first], 0.0)
    for _ in range(10):
        expected.send("app-1", 0.0)
    assert expected.loads([first], 1.0)[0].total == loaded.total + 10
    assert expected.loads([replace(first, greeted=104, agents=4)], 1.5)[0].total == 10
    assert expected.loads([replace(first, greeted=104, agents=4)], EXPECTED_S + 1)[0].total == 4
    expected.send("app-1", 20.0)
    assert expected.loads([replace(first, incarnation="b", greeted=0)], 20.0)[0].expected == 0


@given(LOADS)
def test_only_what_is_far_above_its_share_is_given_away(gateways: list[Load]) -> None:
    """Never below the share that was left to it, never more than others have room for, and never many at a time."""
    for one in gateways:
        count = surplus(one, gateways)
        others = [x for x in gateways if x.accepts and x.heard and x.name != one.name]
        assert 0 <= count <= max(5, one.agents * 0.02)
        if count:
            fair = sum(x.total for x in [one, *others]) * one.capacity / sum(x.capacity for x in [one, *others])
            assert one.agents - count >= int(OVERLOAD * fair) + SLACK
            assert count <= sum(max(0, x.capacity - x.total) for x in others)


def test_agents_go_to_a_server_that_joins_and_then_rest() -> None:
    """Trickle by trickle until the old one is near its share; then nobody moves any more."""
    old, new = load("app-1", 2000), load("app-2", 0)
    rounds = 0
    while count := surplus(old, [old, new]):
        old, new = replace(old, agents=old.agents - count), replace(new, agents=new.agents + count)
        rounds += 1
    assert old.agents == int(OVERLOAD * 1000) + SLACK
    assert 10 < rounds < 40
    assert surplus(new, [old, new]) == 0
