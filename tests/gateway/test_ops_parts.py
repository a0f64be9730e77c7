"""Rates, percentiles, problems and who sees which names: the pure parts of the overview."""

from __future__ import annotations

import pytest

from gateway.api.access import Role
from gateway.ops.picture import (
    Acks,
    AgentRow,
    Agents,
    Alerts,
    Away,
    ComponentRow,
    GapRow,
    Gaps,
    GroupRow,
    NodeRow,
    Overview,
    Storage,
    Suite,
)
from gateway.ops.problems import find_problems
from infra.rates import Latencies, Rates, percentile
from tests.api.accounts import principal_of


def make_picture(**parts: object) -> Overview:
    """A picture of an installation that is well, but for these parts."""
    well = Overview(
        measured_ms=0,
        node="node-1",
        problems=[],
        parts=[],
        away=[],
        agents=Agents(known=1, connected=1),
        streams=[],
        acks=[],
        groups=[],
        nodes=[],
        components=[],
        storage=Storage(),
        gaps=Gaps(),
        dead_letters=0,
        alerts=Alerts(),
        keks_missing=[],
    )
    return well.model_copy(update=parts)


def make_group(**parts: object) -> GroupRow:
    group = GroupRow(
        group="mine", what="Mining", state="Stable", members=1, partitions=6, held=6, lag=0, per_s=10.0, history=[]
    )
    return group.model_copy(update=parts)


def make_component(**parts: object) -> ComponentRow:
    row = ComponentRow(
        node_id="node-1",
        component="sinks-disk",
        phase="ready",
        detail="",
        version="1",
        address="",
        restarts=0,
        since_ms=0,
        told_ms=0,
        stale=False,
        stoppable=True,
        wanted="running",
        wished_by="",
        wished_ms=None,
        stop_says="",
    )
    return row.model_copy(update=parts)


def test_a_rate_wants_two_looks() -> None:
    """And is that of the window, not of all time."""
    rates = Rates(window_s=10)
    rates.look(0, {"a": 0})
    assert rates.per_second("a") is None
    rates.look(5, {"a": 50})
    assert rates.per_second("a") == 10
    for second in range(10, 40, 5):
        rates.look(second, {"a": 50})
    assert rates.per_second("a") == 0
    assert rates.per_second("unknown") is None


def test_a_counter_that_goes_back_begins_again() -> None:
    """A topic that was made anew has no negative rate."""
    rates = Rates()
    rates.look(0, {"a": 100, "b": 0})
    rates.look(1, {"a": 0, "b": 5})
    assert rates.per_second("a") is None
    rates.look(2, {"a": 3, "b": 10})
    assert (rates.per_second("a"), rates.per_second("b")) == (3, 5)


def test_where_nobody_looked_for_long_it_begins_again() -> None:
    """What is called the last minute's is not an hour's."""
    rates = Rates(window_s=60)
    rates.look(0, {"a": 0})
    rates.look(3600, {"a": 3600})
    assert rates.per_second("a") is None
    rates.look(3602, {"a": 3800})
    assert rates.per_second("a") == 100


def test_a_counter_that_came_later_counts_from_then() -> None:
    """A group that was not there before has not read all its past within a minute."""
    rates = Rates()
    rates.look(0, {})
    rates.look(1, {"a": 1_000_000})
    assert rates.per_second("a") == 0


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([0, 10, 0], 0.5, 1.5),
        ([5, 5, 0], 0.99, 1.98),
        ([0, 0, 4], 0.5, 2.0),
    ],
)
def test_percentiles_lie_within_their_bucket(counts: list[float], share: float, expected: float | None) -> None:
    """What is beyond all bounds is told as the last bound."""
    found = percentile([1.0, 2.0], counts, share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_latencies_are_those_of_the_window() -> None:
    """Cumulative buckets, as Prometheus has them; what was before does not count."""
    latencies = Latencies(window_s=10)
    assert latencies.percentile(0.5) is None
    latencies.look(0, {0.001: 1000, 0.01: 1000, float("inf"): 1000})
    latencies.look(10, {0.001: 1000, 0.01: 1100, float("inf"): 1100})
    assert latencies.percentile(0.5) == pytest.approx(0.0055)
    assert latencies.per_second() == 10


def test_what_is_well_needs_no_attention() -> None:
    """Nothing is told, also with everything idle."""
    assert find_problems(make_picture(groups=[make_group()], components=[make_component()])) == []


@pytest.mark.parametrize(
    ("parts", "tone", "words"),
    [
        (
            {"away": [Away(store="PostgreSQL", fault="does not answer", since_ms=0)]},
            "bad",
            "PostgreSQL cannot be asked",
        ),
        ({"nodes": [NodeRow(node_id="n/gateway", role="", state="lost", address="", since_ms=0)]}, "bad", "is lost"),
        ({"groups": [make_group(members=0, held=0, lag=5)]}, "bad", "Nobody reads for Mining: 5 records wait"),
        ({"groups": [make_group(lag=5000, per_s=0.0)]}, "bad", "stands still with 5000"),
        ({"groups": [make_group(lag=5000)]}, "warn", "is 5000 records behind"),
        ({"groups": [make_group(held=4)]}, "warn", "2 of 6 partitions"),
        ({"components": [make_component(phase="restarting", detail="ended")]}, "bad", "does not run: ended"),
        ({"components": [make_component(detail="store: away")]}, "warn", "is not well: store: away"),
        (
            {"components": [make_component(phase="stopped", wanted="stopped", wished_by="ann@console")]},
            "warn",
            "sinks-disk on node-1 is stopped by ann@console",
        ),
        ({"storage": Storage(disk_free_bytes=2, disk_bytes=100)}, "bad", "98 % full"),
        ({"storage": Storage(disk_free_bytes=8, disk_bytes=100)}, "warn", "92 % full"),
        ({"storage": Storage(elasticsearch_status="red")}, "bad", "Elasticsearch is red"),
        (
            {"agents": Agents(suites=[Suite(tls="TLSv1.2", suite="AES", forward_secret=False, agents=3)])},
            "warn",
            "3 agents speak a TLS suite without forward secrecy",
        ),
        ({"keks_missing": ["ann.pub.pem on node-2"]}, "bad", "missing: ann.pub.pem on node-2"),
        ({"dead_letters": 2}, "warn", "2 records could not be processed"),
        ({"gaps": Gaps(last_day=1)}, "warn", "1 gap noticed"),
        ({"alerts": Alerts(open=3, high=1)}, "warn", "1 open alert of high severity"),
        ({"acks": [Acks(node="node-1/gateway", p99_ms=900.0)]}, "warn", "acknowledges slowly"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(parts: dict[str, object], tone: str, words: str) -> None:
    """One problem each, in words."""
    [problem] = find_problems(make_picture(**parts))
    assert problem.tone == tone
    assert words in problem.title
    assert problem.advice


def test_a_reader_whose_pace_is_not_known_yet_does_not_stand_still() -> None:
    """There was one look so far."""
    assert find_problems(make_picture(groups=[make_group(lag=5000, per_s=None)])) == []


def test_the_worst_is_told_first() -> None:
    """However they are found."""
    found = find_problems(make_picture(dead_letters=1, keks_missing=["a.pub.pem"]))
    assert [problem.tone for problem in found] == ["bad", "warn"]


def test_names_of_people_are_for_those_who_may_see_them() -> None:
    """The numbers are the same for everybody."""
    rows = [
        AgentRow(agent_id=name, person=name, computer=f"{name}-desk", gateway="g", since_ms=0)
        for name in ("ann", "bob")
    ]
    gaps = [
        GapRow(
            agent_id="x",
            person="bob",
            computer="bob-desk",
            stream="screen",
            reason="spool full",
            noticed_ms=0,
            from_ms=0,
            until_ms=0,
        ),
    ]
    picture = make_picture(agents=Agents(known=9, went_silent=rows), gaps=Gaps(last_day=4, recent=gaps))
    seen = picture.for_principal(principal_of(Role.OFFICER, persons={"ann"}))
    assert [(row.agent_id, row.person, row.computer) for row in seen.agents.went_silent] == [
        ("ann", "ann", "ann-desk"),
        ("bob", "", ""),
    ]
    assert (seen.gaps.recent[0].person, seen.gaps.last_day, seen.agents.known) == ("", 4, 9)
    assert picture.for_principal(principal_of(Role.OPERATOR, persons=None)) == picture
