"""Hostile input (R6, R2): whatever comes, a parser takes it or refuses it by its own error, in little time.

`SEALSTREAM_FUZZ_EXAMPLES` makes it search longer; `python -m tests.fuzz.atheris_run` is for nights.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.strategies import inputs
from tests.fuzz.target import CASES, Target
from tests.fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("SEALSTREAM_FUZZ_EXAMPLES", "120"))

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@every_target
def test_good_input_is_taken(target: Target) -> None:
    """The seeds are what the parser is for; else the fuzz would only see its first line."""
    assert target.name == "key_set" or any(target.feed(seed) for seed in target.seeds)


@every_target
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_hostile_input_is_refused_by_the_parsers_own_error(target: Target, data: st.DataObject) -> None:
    """Nothing escapes but the errors that its callers catch, and nothing holds a core."""
    target.feed(data.draw(inputs(target.seeds, text=target.text)))


@every_target
def test_what_once_did_harm_does_none(target: Target) -> None:
    """Inputs that the fuzz found stay with us."""
    for case in target.cases:
        target.feed(case.read_bytes())


def test_every_case_belongs_to_a_target() -> None:
    """A target that was renamed takes its cases along."""
    assert {path.name for path in CASES.iterdir() if path.is_dir()} <= set(TARGETS)
