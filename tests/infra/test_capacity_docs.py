"""`sealstream plan` as people and scripts read it, and docs/scale.md beside what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.capacity.load import BOUNDS, option
from infra.capacity.plan import Range
from infra.cli import run
from infra.cli.exits import Exit
from infra.cli.plan_view import render_figures, round_known, show_number, show_range

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/scale.md").read_text("utf-8")
EXAMPLES = re.findall(r"```console\n\$ sealstream (.*)\n((?:.*\n)*?)```", PAGE)
SPOKEN_OF = sorted(set(re.findall(r"python -m bench\.(\w+)", PAGE)))


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_page_shows_what_the_command_prints(command: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every example of docs/scale.md, word for word."""
    assert run(command.split()) == Exit.OK
    assert capsys.readouterr().out == printed


def test_the_page_has_a_hundred_a_thousand_and_ten_thousand() -> None:
    """Three worked examples."""
    assert [command for command, _ in EXAMPLES] == [f"plan --agents {agents}" for agents in (100, 1000, 10000)]


def test_the_page_has_every_figure_and_option() -> None:
    """The table of figures as `--figures` prints it; each option in the table of options; each bench is there."""
    assert render_figures() in PAGE
    assert all(f"`{option(name)}`" in PAGE for name in BOUNDS)
    assert all(f"`--price-{name}`" in PAGE for name in ("host", "core", "gib-memory", "gib-disk"))
    assert SPOKEN_OF
    assert all((ROOT / "bench" / f"{name}.py").exists() for name in SPOKEN_OF)


def plan_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["plan", "--json", *arguments]) == Exit.OK
    return json.loads(capsys.readouterr().out)


def digits(value: float) -> int:
    return len(f"{value:.15f}".replace(".", "").strip("0"))


def floats_in(told: Any) -> list[float]:
    if isinstance(told, dict):
        return [number for part in told.values() for number in floats_in(part)]
    if isinstance(told, list):
        return [number for part in told for number in floats_in(part)]
    return [told] if isinstance(told, int | float) else []


def test_json_has_what_the_text_has_and_no_more_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """Roles, total, facts, limits; no number of the plan has over two digits; cost only at given prices."""
    plan = plan_json(capsys, "--agents", "1234")
    assert plan["load"]["agents"] == 1234
    assert list(plan["roles"]) == ["master", "app", "kafka", "miner", "archive", "postgresql", "elasticsearch"]
    assert set(plan["total"]["cores"]) == {"likely", "low", "high"}
    assert plan["cost"] is None
    del plan["load"]
    assert max(map(digits, floats_in(plan))) <= 2
    priced = plan_json(capsys, "--agents", "1234", "--price-core", "10")
    assert priced["cost"]["priced"] == ["core"]


def test_a_priced_plan_names_what_has_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    """The text says what is left out, and nothing of it when all is priced."""
    run(["plan", "--agents", "10", "--price-core", "10"])
    assert "Not in it, for want of a price: hosts, memory, disk." in capsys.readouterr().out
    prices = [f"--price-{name}=1" for name in ("core", "host", "gib-memory", "gib-disk")]
    run(["plan", "--agents", "10", *prices])
    out = capsys.readouterr().out
    assert "Cost a month" in out
    assert "for want of a price" not in out


def test_figures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A script can read where each figure is from."""
    figures = plan_json(capsys, "--figures")
    assert {figure["sure"] for figure in figures} == {"measured", "sampled", "assumed", "chosen"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say for how many people to plan: sealstream plan --agents 1000"),
        (["--agents", "0"], "--agents must be between 1 and 10,000,000, not 0"),
        (["--agents", "10", "--end-to-end-share", "nan"], "--end-to-end-share must be between 0 and 1, not nan"),
        (["--agents", "10", "--price-core=-1"], "--price-core must be 0 or more, not -1"),
        (["--agents", "many"], "'--agents'"),
    ],
)
def test_nonsense_ends_with_wrong_usage(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, and exit code 2."""
    assert run(["plan", *arguments]) == Exit.USAGE
    shown = capsys.readouterr()
    assert told in " ".join(shown.err.split())
    assert not shown.out


@given(st.floats(1e-6, 1e12))
@settings(deadline=None)
def test_rounding_keeps_two_digits_and_the_size(value: float) -> None:
    """Never more than two digits, never off by more than 5 %."""
    assert digits(round_known(value)) <= 2
    assert round_known(value) == pytest.approx(value, rel=0.05)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0051, "0.0051"), (0.5, "0.5"), (0.25, "0.25"), (0.999, "1"), (1.04, "1"), (1.26, "1.3"),
     (99.4, "99"), (101, "100"), (17_345, "17,000")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, shown: str) -> None:
    """Two digits, thousands apart, no zeros that say nothing."""
    assert show_number(value) == shown


def test_ranges_as_people_read_them() -> None:
    """One number where the ends are the same, a dash where there is nothing."""
    assert show_range(Range(0.0, 0.0, 0.0)) == "-"
    assert show_range(Range(2, 2, 2)) == "2"
    assert show_range(Range(41.2, 19.4, 141)) == "41 (19-140)"
