"""The policy, its cache and the notice: what may be recorded, and that people are told."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cache import CACHE, OlderPolicyError, PolicyCache
from agent.notice import DESCRIPTIONS, write_notice
from agent.policy import RECORDABLE, Policy
from schemas.errors import MalformedError
from schemas.kinds import StreamKind

STREAMS = frozenset({"screen", "keystrokes", "email", "activity"})

POLICIES = st.builds(
    Policy,
    version=st.integers(0, 1 << 50),
    streams=st.frozensets(st.sampled_from(sorted(RECORDABLE))),
    end_to_end=st.frozensets(st.sampled_from(["screen", "keystrokes", "email"])),
    blind_index=st.frozensets(st.sampled_from(["screen", "keystrokes", "email"])),
    endpoint_ocr=st.booleans(),
    exclude_applications=st.lists(st.text()).map(tuple),
    exclude_titles=st.lists(st.text()).map(tuple),
    paused=st.booleans(),
    pause_allowed=st.booleans(),
    key_frame_interval_s=st.floats(1, 1e6),
    max_frames_per_second=st.floats(0.01, 2),
    idle_after_s=st.floats(1, 1e6),
    organisation=st.text(),
    purpose=st.text(),
    contact=st.text(),
)


@given(POLICIES)
def test_a_policy_survives_its_json(policy: Policy) -> None:
    """`from_json` reads what `to_json` writes."""
    assert Policy.from_json(policy.to_json()) == policy


JUNK = st.none() | st.booleans() | st.text() | st.integers() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from(list(Policy().to_json())), JUNK))
def test_junk_is_refused_or_understood_and_never_breaks(body: dict[str, object]) -> None:
    """Whatever a field holds, the policy is read or `MalformedError` is raised."""
    with contextlib.suppress(MalformedError):
        assert Policy.from_json(body).max_frames_per_second <= 2


def test_nothing_is_allowed_by_default_but_gaps() -> None:
    """Recording takes a server's word; a hole must always show."""
    assert [kind for kind in StreamKind if Policy().allows(kind)] == [StreamKind.GAP]


def test_a_pause_stops_every_stream_but_gaps() -> None:
    """Paused, nothing is recorded, whatever is listed."""
    policy = Policy(streams=STREAMS, paused=True)
    assert [kind for kind in StreamKind if policy.allows(kind)] == [StreamKind.GAP]


@pytest.mark.parametrize(
    ("application", "title", "excluded"),
    [
        ("KeePassXC", "", True),
        ("firefox", "My BANK - Firefox", True),
        ("firefox", "News", False),
        ("", "", False),
    ],
)
def test_exclusions_are_globs_without_regard_to_case(application: str, title: str, excluded: bool) -> None:  # noqa: FBT001
    """Either an application or a title keeps a window out."""
    policy = Policy(exclude_applications=("keepass*",), exclude_titles=("*bank*",))
    assert policy.excludes(application, title) is excluded


@pytest.mark.parametrize(
    "body",
    [
        {"streams": ["screen", "thoughts"]},
        {"streams": "screen"},
        {"end_to_end": ["activity"]},
        {"paused": 1},
        {"version": -1},
        {"max_frames_per_second": "fast"},
    ],
)
def test_a_policy_that_is_not_understood_is_refused_as_a_whole(body: dict[str, object]) -> None:
    """Guessing what may be recorded is worse than keeping the policy before."""
    with pytest.raises(MalformedError):
        Policy.from_json(body)


def test_unknown_fields_are_ignored_and_frames_are_capped() -> None:
    """A newer server is understood as far as it goes; no policy makes the agent look more than twice a second."""
    assert Policy.from_json({"colour": "red", "max_frames_per_second": 60}).max_frames_per_second == 2


def test_the_cache_gives_back_the_newest_policy_after_a_restart(tmp_path: Path) -> None:
    """A start without the server records as last told."""
    PolicyCache(tmp_path, "a").accept({"version": 7, "streams": ["screen"]})
    assert PolicyCache(tmp_path, "a").policy == Policy(version=7, streams=frozenset({"screen"}))


def test_an_older_policy_is_refused(tmp_path: Path) -> None:
    """Whoever replays an old policy, which may allow more, changes nothing; the same version again is no fault."""
    cache = PolicyCache(tmp_path, "a")
    cache.accept({"version": 7, "streams": ["screen"]})
    with pytest.raises(OlderPolicyError):
        cache.accept({"version": 6, "streams": ["screen", "email"]})
    assert cache.accept({"version": 7, "streams": ["screen"]}).version == 7
    assert PolicyCache(tmp_path, "a").policy.streams == {"screen"}


def test_the_cache_is_not_readable_by_eye_and_belongs_to_one_agent(tmp_path: Path) -> None:
    """Obfuscated (R4.7), and of no use to another agent's directory."""
    PolicyCache(tmp_path, "a").accept({"version": 7, "streams": ["screen"], "organisation": "Example Ltd"})
    assert b"Example" not in (tmp_path / CACHE).read_bytes()
    assert PolicyCache(tmp_path, "b").policy == Policy()


@pytest.mark.parametrize("damage", [b"", b"junk", b"gAAAAA" + b"x" * 80])
def test_a_damaged_cache_records_nothing(tmp_path: Path, damage: bytes) -> None:
    """No policy is better than a guessed one; the server tells it again."""
    PolicyCache(tmp_path, "a").accept({"version": 7, "streams": ["screen"]})
    (tmp_path / CACHE).write_bytes(damage)
    assert PolicyCache(tmp_path, "a").policy == Policy()


def notice(policy: Policy, *, paused_here: bool = False) -> str:
    return write_notice(policy, server="s:1", agent_id="id-1", user="ana", computer="desk-7", paused_here=paused_here)


@given(POLICIES)
def test_the_notice_names_every_stream_that_may_be_recorded(policy: Policy) -> None:
    """None is left out, whatever else the policy says, and each says who can read it."""
    text = notice(policy)
    for kind in DESCRIPTIONS:
        assert (DESCRIPTIONS[kind] in text) == (kind.label in policy.streams)
    assert text.count("end to end") == len({k for k in policy.end_to_end if k in policy.streams}) or policy.organisation


def test_the_notice_says_for_whom_where_and_how_to_pause() -> None:
    """Everything that a person should know stands in it."""
    text = notice(Policy(version=3, streams=STREAMS, organisation="Example Ltd", contact="it@example.org"))
    for said in ("being recorded", "Example Ltd", "it@example.org", "s:1", "ana on desk-7", "agent pause", "version 3"):
        assert said in text


def test_the_notice_says_when_nothing_is_recorded() -> None:
    """Paused, or with an empty policy, it does not claim otherwise."""
    assert "paused" in notice(Policy(streams=STREAMS), paused_here=True).splitlines()[0]
    assert "Nothing is recorded" in notice(Policy()).splitlines()[0]
    assert "not allowed" in notice(Policy(pause_allowed=False))
