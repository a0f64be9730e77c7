"""Whom a stream is sealed to: the narrowest scope counts, break-glass is added, and rotations are followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.keys.assignment import Assignment, Scope, Situation, build_sets
from infra.keys.registry import Purpose, Registered, State
from schemas.errors import ConfigError
from schemas.keys import Identity
from schemas.keyset import MAX_AGENTS, KeySet

ANN, BOB = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1", "7f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
NAMES = ("all", "finance", "pc", "agent", "glass", "next", "server")

Make = Callable[..., Situation]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    for name in NAMES:
        (directory / f"{name}.pub.pem").write_bytes(Identity.generate(2048).recipient.to_pem())
    return directory


@pytest.fixture
def situation(folder: Path) -> Make:
    """Ann at pc-1 and Bob at pc-2, and the assignments given."""

    def make(*assignments: Assignment, **changes: Registered) -> Situation:
        rows = {f"{name}.pub.pem": Registered(f"{name}.pub.pem", f"{name}.pem") for name in NAMES}
        rows |= {row.public: row for row in changes.values()}
        agents = {ANN: "PC-1", BOB: "pc-2"}
        return Situation(folder, rows, assignments, agents, {"finance": frozenset({"pc-2"})})

    return make


def to(name: str, scope: Scope = Scope.DEFAULT, subject: str = "", **how: bool) -> Assignment:
    return Assignment(f"{name}.pub.pem", scope, subject, "email", **how)


def email_of(sets: list[KeySet], agent: str) -> list[str]:
    [found] = [one for one in sets if agent in one.agents or (not agent and not one.agents)]
    return found.names("email") if "email" in found.streams else []


def test_the_narrowest_scope_counts(situation: Make) -> None:
    """Agent before endpoint before group before default; the default is for those that nobody named too."""
    assignments = [to("all"), to("finance", Scope.GROUP, "finance")]
    sets = build_sets(situation(*assignments), 1, 0)
    assert (email_of(sets, ""), email_of(sets, ANN), email_of(sets, BOB)) == (["all"], ["all"], ["finance"])
    assignments += [to("pc", Scope.ENDPOINT, "pc-1"), to("agent", Scope.AGENT, BOB)]
    sets = build_sets(situation(*assignments), 1, 0)
    assert (email_of(sets, ""), email_of(sets, ANN), email_of(sets, BOB)) == (["all"], ["pc"], ["agent"])


def test_break_glass_is_added_from_every_scope(situation: Make) -> None:
    """And is marked; by itself it is nobody's recipient."""
    sets = build_sets(situation(to("glass", break_glass=True), to("agent", Scope.AGENT, ANN)), 1, 0)
    assert email_of(sets, ANN) == ["agent", "glass"]
    assert email_of(sets, BOB) == []
    [of_ann] = [one for one in sets if ANN in one.agents]
    assert sorted((key.name, key.break_glass) for key in of_ann.keys.values()) == [("agent", False), ("glass", True)]


def test_known_agents_are_always_named(situation: Make) -> None:
    """So that what was assigned and taken back is told, and nobody can pass a set for all off as theirs."""
    sets = build_sets(situation(), 5, 9)
    assert [(one.agents, dict(one.streams), one.version, one.made_ms) for one in sets] == [((ANN, BOB), {}, 5, 9)]


def test_many_agents_share_sets_of_bounded_size(situation: Make) -> None:
    """A set names no more agents than a frame can carry."""
    ids = [f"{number:08x}-0d3b-4f7e-9a53-0f2f7ab3a0d1" for number in range(MAX_AGENTS + 1)]
    sets = build_sets(replace(situation(to("all")), agents=dict.fromkeys(ids, "")), 1, 0)
    assert [len(one.agents) for one in sets] == [0, MAX_AGENTS, 1]
    assert sorted(agent for one in sets for agent in one.agents) == ids


def test_a_rotation_is_followed(situation: Make) -> None:
    """Both while it lasts, the successor afterwards; a revoked one never."""
    begun = Registered("all.pub.pem", successor="next.pub.pem")
    for state, names in (
        (State.ACTIVE, ["all", "next"]),
        (State.OPENING, ["next"]),
        (State.RETIRED, ["next"]),
        (State.REVOKED, ["next"]),
    ):
        sets = build_sets(situation(to("all"), all=replace(begun, state=state)), 1, 0)
        assert email_of(sets, ANN) == names


def test_a_stream_without_anybody_who_opens_it_is_an_error(situation: Make) -> None:
    """Told before it is signed: it would not be recorded any more."""
    with pytest.raises(ConfigError, match="sealed to 0 KEKs"):
        build_sets(situation(to("all"), all=Registered("all.pub.pem", state=State.REVOKED)), 1, 0)
    with pytest.raises(ConfigError, match="KEK of the server"):
        build_sets(situation(to("server"), server=Registered("server.pub.pem", purpose=Purpose.SERVER)), 1, 0)


def test_what_the_policy_seals_now_is_bound(situation: Make) -> None:
    """And what an assignment binds by itself; the blind index is off where one says so."""
    [default, _] = build_sets(situation(to("all")), 1, 0)
    assert default.bound == frozenset()
    [default, _] = build_sets(replace(situation(to("all")), end_to_end=frozenset({"email", "screen"})), 1, 0)
    assert default.bound == {"email"}
    [default, _] = build_sets(situation(to("all", always=True), to("glass", break_glass=True, blind_index=False)), 1, 0)
    assert default.bound == {"email"}
    assert not default.streams["email"].blind_index
